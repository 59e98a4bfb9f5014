"""The batch forms of FF1 and FF3-1 are the reference forms, at every length and many radices."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vault.crypto import FF1, FF3_1
from vault.crypto.fpe import batch as batch_module
from vault.crypto.fpe.limbs import HalfArithmetic

KEY = bytes(range(32))
RADICES = [2, 3, 7, 10, 16, 26, 36, 52, 62, 64, 94, 255, 256, 257, 1000, 1024, 4097, 65535, 65536]
Cipher = FF1 | FF3_1
CIPHERS = pytest.mark.parametrize("make", [FF1, FF3_1], ids=["FF1", "FF3-1"])
Array = NDArray[np.integer]


def equal_to_the_reference(cipher: Cipher, digits: Array, tweaks: bytes | Sequence[bytes]) -> None:
    each = [tweaks] * len(digits) if isinstance(tweaks, bytes) else tweaks
    rows = digits.tolist()
    expected = [cipher.encrypt(row, tweak) for row, tweak in zip(rows, each, strict=True)]
    token = cipher.encrypt_batch(digits, tweaks)
    assert token.tolist() == expected
    assert cipher.decrypt_batch(token, tweaks).tolist() == rows


def edges_and_random(cipher: Cipher, length: int, rng: np.random.Generator) -> Array:
    top = cipher.radix - 1
    digits = rng.integers(0, cipher.radix, (4, length), dtype=np.uint32)
    digits[0], digits[1] = 0, top
    return digits


@CIPHERS
@pytest.mark.parametrize("radix", RADICES)
def test_every_length(make: type[FF1] | type[FF3_1], radix: int) -> None:
    cipher = make(KEY, radix)
    rng = np.random.default_rng(radix)
    longest = min(cipher.max_length, 200 if radix <= 16 else 60)
    for length in range(cipher.min_length, longest + 1):
        digits = edges_and_random(cipher, length, rng)
        equal_to_the_reference(cipher, digits, bytes(rng.bytes(7)))


@CIPHERS
@given(data=st.data(), radix=st.integers(2, 65536), size=st.sampled_from([16, 24, 32]))
def test_any_radix_key_tweaks_and_type(
    make: type[FF1] | type[FF3_1], data: st.DataObject, radix: int, size: int
) -> None:
    cipher = make(data.draw(st.binary(min_size=size, max_size=size)), radix)
    length = data.draw(st.integers(cipher.min_length, min(cipher.max_length, 60)))
    rows = data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    types = [np.dtype(f"u{size}") for size in (1, 2, 4, 8)]
    kind = data.draw(st.sampled_from([kind for kind in types if 256**kind.itemsize >= radix]))
    digits: Array = rng.integers(0, radix, (rows, length)).astype(kind)
    width = st.just(7) if make is FF3_1 else st.integers(0, 40)
    tweaks = [bytes(rng.bytes(data.draw(width))) for _ in range(rows)]
    equal_to_the_reference(cipher, digits, tweaks)
    equal_to_the_reference(cipher, digits, tweaks[0])
    assert cipher.encrypt_batch(digits, tweaks).dtype == kind


@pytest.mark.parametrize(
    ("radix", "length"), [(10, 1200), (10, 1300), (2, 4000), (2, 5000), (65536, 250), (65536, 260)]
)
def test_ff1_on_both_sides_of_what_the_kernel_takes(radix: int, length: int) -> None:
    cipher = FF1(KEY, radix)
    digits = edges_and_random(cipher, length, np.random.default_rng(1))[:2]
    equal_to_the_reference(cipher, digits, b"tweak")
    equal_to_the_reference(cipher, digits, [b"", b"x" * 33])


@CIPHERS
def test_many_chunks(make: type[FF1] | type[FF3_1], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "_MAX_ROWS", 7)
    monkeypatch.setattr(batch_module, "_MIN_ROWS", 1)
    cipher = make(KEY, 10)
    rng = np.random.default_rng(3)
    digits = rng.integers(0, 10, (50, 16), dtype=np.uint8)
    equal_to_the_reference(cipher, digits, [bytes(rng.bytes(7)) for _ in range(50)])
    equal_to_the_reference(cipher, digits, bytes(7))


@CIPHERS
def test_a_permutation_of_a_whole_small_domain(make: type[FF1] | type[FF3_1]) -> None:
    cipher = make(KEY, 10)
    cipher.min_length = 2
    for length in (3, 4):
        domain = np.indices((10,) * length, dtype=np.uint8).reshape(length, -1).T
        token = cipher.encrypt_batch(domain, bytes(7))
        assert len(np.unique(token, axis=0)) == 10**length
        assert (cipher.decrypt_batch(token, bytes(7)) == domain).all()


@CIPHERS
def test_any_memory_order_and_callers_buffers_stay(make: type[FF1] | type[FF3_1]) -> None:
    cipher = make(KEY, 10)
    rng = np.random.default_rng(5)
    wide = rng.integers(0, 10, (40, 32), dtype=np.uint8)
    before = wide.copy()
    for view in (wide[::2, ::2], wide[::-1, 3:19], np.asfortranarray(wide[:, :16])):
        view.flags.writeable = False
        equal_to_the_reference(cipher, view, bytes(7))
    assert (wide == before).all()


@CIPHERS
def test_no_rows(make: type[FF1] | type[FF3_1]) -> None:
    cipher = make(KEY, 10)
    empty = np.empty((0, 16), np.uint8)
    assert cipher.encrypt_batch(empty, bytes(7)).shape == (0, 16)
    assert cipher.decrypt_batch(empty, []).shape == (0, 16)


@CIPHERS
@pytest.mark.parametrize(
    ("digits", "message"),
    [
        (np.zeros(16, np.uint8), "two-dimensional"),
        (np.zeros((2, 5), np.uint8), "length"),
        (np.full((2, 16), 10, np.uint8), "outside of the radix"),
        (np.full((2, 16), -1, np.int8), "outside of the radix"),
        (np.full((2, 16), 2**32, np.uint64), "outside of the radix"),
    ],
)
def test_bad_arrays_are_refused(make: type[FF1] | type[FF3_1], digits: Array, message: str) -> None:
    cipher = make(KEY, 10)
    for run in (cipher.encrypt_batch, cipher.decrypt_batch):
        with pytest.raises(ValueError, match=message):
            run(digits, bytes(7))


@CIPHERS
def test_bad_types_and_tweaks_are_refused(make: type[FF1] | type[FF3_1]) -> None:
    cipher = make(KEY, 10)
    good = np.zeros((3, 16), np.uint8)
    with pytest.raises(TypeError, match="unsigned integers"):
        cipher.encrypt_batch(good.astype(np.float64), bytes(7))
    for tweaks in ([], [bytes(7)], [bytes(7)] * 4):
        with pytest.raises(ValueError, match="one tweak for all values or one for each"):
            cipher.encrypt_batch(good, tweaks)
    if make is FF3_1:
        for wrong in (b"", bytes(8), [bytes(7), bytes(6), bytes(8)]):
            with pytest.raises(ValueError, match="7 bytes"):
                cipher.encrypt_batch(good, wrong)


@CIPHERS
def test_threads_share_an_instance(make: type[FF1] | type[FF3_1]) -> None:
    cipher = make(KEY, 10)
    rng = np.random.default_rng(9)
    batches = [rng.integers(0, 10, (3000, 16), dtype=np.uint8) for _ in range(6)]
    expected = [cipher.encrypt_batch(digits, bytes(7)) for digits in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            found = pool.map(lambda digits: cipher.encrypt_batch(digits, bytes(7)), batches)
            assert all((a == b).all() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("words", [1, 2, 3, 4, 5, 16, 64])
@pytest.mark.parametrize("radix", [2, 10, 36, 62, 1291, 65535, 65536])
def test_limbs_at_the_greatest_sums(radix: int, words: int) -> None:
    """The words that make every sum as large as it can be, against Python's integers."""
    for digits in (1, 2, 5, 9, 10, 28, 40):
        half = HalfArithmetic(radix, digits, words)
        end = radix**digits
        columns = np.full((digits, 1), radix - 1, np.uint16)
        output = [np.full(1, 2**32 - 1, np.uint64) for _ in range(words)]
        y = 2 ** (32 * words) - 1
        for subtract, expected in ((False, (end - 1 + y) % end), (True, (end - 1 - y) % end)):
            half.write(half.add_output(half.read(columns), output, subtract=subtract), columns)
            value = sum(int(digit) * radix**i for i, digit in enumerate(columns[:, 0]))
            assert value == expected
            columns[:] = radix - 1
