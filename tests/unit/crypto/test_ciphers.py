"""FF1 and FF3-1: what is refused, what is left alone, what never leaks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
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
