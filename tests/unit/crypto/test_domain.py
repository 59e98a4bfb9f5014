from __future__ import annotations

import pytest

from vault.crypto import FF1, FF3_1
from vault.crypto.fpe.domain import FF1_MAX_LENGTH, ff3_1_max_length, min_length


@pytest.mark.parametrize(
    ("radix", "shortest", "longest"),
    [
        (2, 20, 192),
        (10, 6, 56),
        (16, 5, 48),
        (26, 5, 40),
        (32, 4, 38),
        (36, 4, 36),
        (52, 4, 32),
        (62, 4, 32),
        (94, 4, 28),
        (256, 3, 24),
        (1000, 2, 18),
        (1024, 2, 18),
        (65536, 2, 12),
    ],
)
def test_exact_bounds(radix: int, shortest: int, longest: int) -> None:
    assert (min_length(radix), ff3_1_max_length(radix)) == (shortest, longest)
    cipher = FF3_1(bytes(16), radix)
    assert (cipher.min_length, cipher.max_length) == (shortest, longest)
    assert FF1(bytes(16), radix).min_length == shortest
    assert FF1(bytes(16), radix).max_length == FF1_MAX_LENGTH == 2**32 - 1


def test_bounds_are_tight_for_many_radices() -> None:
    for radix in range(2, 65537, 97):
        shortest, half = min_length(radix), ff3_1_max_length(radix) // 2
        assert radix**shortest >= 1_000_000
        assert shortest == 2 or radix ** (shortest - 1) < 1_000_000
        assert radix**half <= 2**96 < radix ** (half + 1)


@pytest.mark.parametrize("radix", [-1, 0, 1, 65537])
def test_a_radix_outside_is_refused(radix: int) -> None:
    for cipher in (FF1, FF3_1):
        with pytest.raises(ValueError, match="radix"):
            cipher(bytes(16), radix)
