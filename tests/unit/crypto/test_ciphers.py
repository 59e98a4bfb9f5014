"""FF1 and FF3-1: what is refused, what is left alone, what never leaks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import pytest

from vault.crypto import FF1, FF3_1

KEY = bytes(range(100, 132))
TWEAK = bytes(range(7))
DIGITS = [4, 0, 1, 2, 8, 8, 8, 8, 8, 8, 8, 8, 1, 8, 8, 1]
CIPHERS = pytest.mark.parametrize("cipher", [FF1(KEY, 10), FF3_1(KEY, 10)], ids=["FF1", "FF3-1"])
Cipher = FF1 | FF3_1


@pytest.mark.parametrize("length", [0, 15, 17, 31, 33, 64])
def test_key_lengths_other_than_aes_are_refused(length: int) -> None:
    for make in (FF1, FF3_1):
        with pytest.raises(ValueError, match="16, 24 or 32 bytes") as caught:
            make(b"k" * length, 10)
        assert "kkk" not in repr(caught.value)


@CIPHERS
@pytest.mark.parametrize(
    "digits",
    [[], [1] * 5, [1, 2, 3, 4, 5, 10], [1, 2, 3, 4, 5, -1], [1, 2, 3, 4, 5, 2**70]],
    ids=["empty", "short", "beyond the radix", "negative", "huge"],
)
def test_digits_outside_are_refused_and_not_quoted(cipher: Cipher, digits: list[int]) -> None:
    for run in (cipher.encrypt, cipher.decrypt):
        with pytest.raises(ValueError, match=r"^(the length must be from|a digit is outside)"):
            run(digits, TWEAK)


@CIPHERS
@pytest.mark.parametrize("digits", ["401288", [1.0] * 6, ["4"] * 6, [None] * 6])
def test_what_is_no_integer_is_refused(cipher: Cipher, digits: list[int]) -> None:
    with pytest.raises(TypeError):
        cipher.encrypt(digits, TWEAK)


def test_the_longest_ff3_1_value_and_one_more() -> None:
    cipher = FF3_1(KEY, 10)
    longest = [9] * 56
    assert cipher.decrypt(cipher.encrypt(longest, TWEAK), TWEAK) == longest
    with pytest.raises(ValueError, match="length"):
        cipher.encrypt([9] * 57, TWEAK)


@pytest.mark.parametrize("length", [0, 6, 8, 16])
def test_ff3_1_takes_56_bits_of_tweak_only(length: int) -> None:
    cipher = FF3_1(KEY, 10)
    for run in (cipher.encrypt, cipher.decrypt):
        with pytest.raises(ValueError, match="7 bytes"):
            run(DIGITS, bytes(length))


def test_every_bit_of_the_tweak_counts() -> None:
    for cipher in (FF1(KEY, 10), FF3_1(KEY, 10)):
        tweaks = [bytes(7)] + [(1 << bit).to_bytes(7, "big") for bit in range(56)]
        tokens = {tuple(cipher.encrypt(DIGITS, tweak)) for tweak in tweaks}
        assert len(tokens) == 57


def test_ff1_tells_tweak_lengths_apart() -> None:
    cipher = FF1(KEY, 10)
    tokens = {tuple(cipher.encrypt(DIGITS, bytes(length))) for length in range(40)}
    assert len(tokens) == 40


@CIPHERS
def test_callers_buffers_stay_as_they_are(cipher: Cipher) -> None:
    key, tweak, digits = bytearray(KEY), bytearray(TWEAK), list(DIGITS)
    again = type(cipher)(cast(bytes, key), 10)
    token = again.encrypt(digits, cast(bytes, tweak))
    assert (key, tweak, digits) == (bytearray(KEY), bytearray(TWEAK), DIGITS)
    assert token == cipher.encrypt(DIGITS, TWEAK)
    key[:] = bytes(32)
    assert again.encrypt(DIGITS, TWEAK) == token


@CIPHERS
def test_numpy_integers_do_not_overflow(cipher: Cipher) -> None:
    long = [9] * 40
    narrow = cast(Sequence[int], np.array(long, np.uint8))
    assert cipher.encrypt(narrow, TWEAK) == cipher.encrypt(long, TWEAK)


@CIPHERS
def test_no_key_leaves_by_repr_pickle_or_copy(cipher: Cipher) -> None:
    assert repr(cipher) in {"<FF1>", "<FF3_1>"}
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            leave(cipher)


@CIPHERS
def test_threads_share_an_instance(cipher: Cipher) -> None:
    values = [[i // 10**k % 10 for k in range(16)] for i in range(300)]
    expected = [cipher.encrypt(value, TWEAK) for value in values]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(lambda value: cipher.encrypt(value, TWEAK), values)) == expected
            assert list(pool.map(lambda token: cipher.decrypt(token, TWEAK), expected)) == values


@pytest.mark.parametrize("kind", [FF1, FF3_1])
@pytest.mark.parametrize("radix", [10, 200, 65536])
@pytest.mark.parametrize("number", [np.int32, np.int64, np.uint32, np.uint64])
def test_a_radix_of_numpy_is_the_same_radix(
    kind: type[FF1] | type[FF3_1], radix: int, number: type[np.integer]
) -> None:
    """Its powers would wrap round: an endless loop, or another ciphertext."""
    theirs, plain = kind(KEY, number(radix)), kind(KEY, radix)
    assert type(theirs.radix) is int
    digits = [1, 0, 9, 3, 2, 5, 8, 7, 4, 6][: plain.max_length]
    expected = plain.encrypt(digits, bytes(7))
    assert theirs.encrypt(digits, bytes(7)) == expected
    batch = theirs.encrypt_batch(np.array([digits] * 30, np.uint32), bytes(7))
    assert batch.tolist() == [expected] * 30


@pytest.mark.parametrize("kind", [FF1, FF3_1])
@pytest.mark.parametrize("radix", [10.0, 10.5, "10", None, np.float64(10)])
def test_what_is_no_radix_is_refused(kind: type[FF1] | type[FF3_1], radix: int) -> None:
    with pytest.raises(TypeError, match="radix must be an integer"):
        kind(KEY, radix)


@pytest.mark.parametrize("kind", [FF1, FF3_1])
@pytest.mark.parametrize("key", [16, 24, 32, [1] * 16, "k" * 16, None, np.zeros(16, np.uint8)])
def test_what_is_no_key_is_refused(kind: type[FF1] | type[FF3_1], key: bytes) -> None:
    with pytest.raises(TypeError, match="key must be bytes"):
        kind(key, 10)


@CIPHERS
@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_a_tweak_in_another_buffer_is_the_same_tweak(
    cipher: Cipher, buffer: Callable[[bytes], bytes]
) -> None:
    digits, tweak = [1, 2, 3, 4, 5, 6, 7], bytes(range(7))
    expected = cipher.encrypt(digits, tweak)
    assert cipher.encrypt(digits, buffer(tweak)) == expected
    rows = np.array([digits] * 7, np.uint8)
    for tweaks in (buffer(tweak), [buffer(tweak)] * 7, (buffer(tweak),) * 7):
        assert cipher.encrypt_batch(rows, tweaks).tolist() == [expected] * 7


@CIPHERS
@pytest.mark.parametrize(
    "tweak", ["1234567", [0] * 7, np.arange(7, dtype=np.uint8), np.arange(7, dtype=np.uint16), 7]
)
def test_what_is_no_tweak_is_refused_and_not_quoted(cipher: Cipher, tweak: bytes) -> None:
    rows = np.array([[1, 2, 3, 4, 5, 6]] * 3, np.uint8)
    with pytest.raises(TypeError, match="a tweak must be bytes"):
        cipher.encrypt([1, 2, 3, 4, 5, 6], tweak)
    with pytest.raises(TypeError, match="a tweak must be bytes"):
        cipher.encrypt_batch(rows, [tweak] * 3)


@CIPHERS
@pytest.mark.parametrize(
    "tweaks",
    ["1234567", dict.fromkeys([b"1234567"]), {b"1234567"}, np.array([b"123456\0"], "S7"), 7],
)
def test_tweaks_that_are_no_sequence_of_bytes_are_refused(
    cipher: Cipher, tweaks: list[bytes]
) -> None:
    with pytest.raises(TypeError, match="sequence of bytes"):
        cipher.encrypt_batch(np.array([[1, 2, 3, 4, 5, 6]], np.uint8), tweaks)


def test_a_buffer_of_wider_items_counts_by_its_bytes() -> None:
    wide = memoryview(bytes(28)).cast("I")
    with pytest.raises(ValueError, match="7 bytes"):
        FF3_1(KEY, 10).encrypt([1, 2, 3, 4, 5, 6], wide)
    with pytest.raises(ValueError, match="7 bytes"):
        FF3_1(KEY, 10).encrypt_batch(np.array([[1, 2, 3, 4, 5, 6]], np.uint8), [wide])
    digits = [1, 2, 3, 4, 5, 6]
    assert FF1(KEY, 10).encrypt(digits, wide) == FF1(KEY, 10).encrypt(digits, bytes(28))


@CIPHERS
@pytest.mark.parametrize(
    "digits",
    [
        [[1, 2, 3, 4, 5, 6]],
        np.ma.masked_array([[1, 2, 3, 4, 5, 99]], [[False] * 5 + [True]], np.uint8),
        np.array([[1.0] * 6]),
    ],
    ids=["list", "masked", "floats"],
)
def test_what_is_no_array_of_integers_is_refused(
    cipher: Cipher, digits: np.ndarray[tuple[int, int], np.dtype[np.uint8]]
) -> None:
    with pytest.raises(TypeError, match="array of unsigned integers"):
        cipher.encrypt_batch(digits, bytes(7))
