"""Bounds of FF1 and FF3-1, in exact integers (SP 800-38G Rev. 1 draft, February 2019).

A float logarithm is wrong for some radix in most published implementations, so there
is none here.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = [
    "FF1_MAX_LENGTH",
    "MAX_RADIX",
    "MIN_DOMAIN",
    "MIN_RADIX",
    "check_radix",
    "ff3_1_max_length",
    "min_length",
]

MIN_RADIX = 2
MAX_RADIX = 1 << 16
MIN_DOMAIN = 1_000_000
FF1_MAX_LENGTH = (1 << 32) - 1
_FF3_1_HALF_END = 1 << 96


def check_radix(radix: int) -> None:
    """Refuses a radix outside 2..65536. Raises ValueError."""
    if not MIN_RADIX <= radix <= MAX_RADIX:
        raise ValueError("the radix must be from 2 to 65536")


@lru_cache(maxsize=1024)
def min_length(radix: int) -> int:
    """Returns the least length, at least 2, with radix^length >= 1,000,000."""
    check_radix(radix)
    length = 2
    while radix**length < MIN_DOMAIN:
        length += 1
    return length


@lru_cache(maxsize=1024)
def ff3_1_max_length(radix: int) -> int:
    """Returns 2 * floor(log_radix(2^96)), the greatest length of FF3-1."""
    check_radix(radix)
    half = 0
    while radix ** (half + 1) <= _FF3_1_HALF_END:
        half += 1
    return 2 * half
