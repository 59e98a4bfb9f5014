"""FF1 and FF3-1: round trip and bijection over radices, lengths, keys and tweaks."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from vault.crypto import FF1, FF3_1

RADICES = [2, 3, 7, 10, 16, 26, 36, 52, 62, 64, 94, 255, 256, 1000, 1024, 4097, 65535, 65536]
Cipher = FF1 | FF3_1
CIPHERS = pytest.mark.parametrize("make", [FF1, FF3_1], ids=["FF1", "FF3-1"])
KEYS = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def longest(cipher: Cipher) -> int:
    return min(cipher.max_length, 130)


def survives(cipher: Cipher, digits: list[int], tweak: bytes) -> bool:
    token = cipher.encrypt(digits, tweak)
    kept = len(token) == len(digits) and all(0 <= digit < cipher.radix for digit in token)
    return kept and cipher.decrypt(token, tweak) == digits


@CIPHERS
@given(data=st.data(), key=KEYS, radix=st.sampled_from(RADICES) | st.integers(2, 65536))
@examples(1.5)
def test_round_trip(
    make: type[FF1] | type[FF3_1], data: st.DataObject, key: bytes, radix: int
) -> None:
    cipher = make(key, radix)
    digit = st.integers(0, radix - 1)
    digits = data.draw(st.lists(digit, min_size=cipher.min_length, max_size=longest(cipher)))
    width = 7 if make is FF3_1 else data.draw(st.integers(0, 40))
    tweak = data.draw(st.binary(min_size=width, max_size=width))
    assert survives(cipher, digits, tweak)


@CIPHERS
@pytest.mark.parametrize("radix", RADICES)
def test_every_length_at_the_edges_of_the_digits(make: type[FF1] | type[FF3_1], radix: int) -> None:
    cipher = make(bytes(range(32)), radix)
    for length in range(cipher.min_length, longest(cipher) + 1):
        for digit in (0, radix - 1):
            assert survives(cipher, [digit] * length, bytes(7))


@CIPHERS
@pytest.mark.parametrize(("radix", "length"), [(10, 2), (10, 3), (2, 9), (7, 4), (36, 2)])
def test_a_permutation_of_a_whole_small_domain(
    make: type[FF1] | type[FF3_1], radix: int, length: int
) -> None:
    cipher = make(bytes(range(32)), radix)
    cipher.min_length = 2
    domain = list(product(range(radix), repeat=length))
    tokens = {tuple(cipher.encrypt(value, bytes(7))) for value in domain}
    assert tokens == set(domain)


@CIPHERS
def test_long_values(make: type[FF1] | type[FF3_1]) -> None:
    cipher = make(bytes(range(32)), 10)
    length = 1001 if make is FF1 else 56
    assert survives(cipher, [i % 10 for i in range(length)], bytes(7))
