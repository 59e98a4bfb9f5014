"""The constants of FF1 (SP 800-38G, algorithm 7) for a radix, length and tweak length."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from vault.crypto.fpe.block import BLOCK

__all__ = ["MAX_TWEAK_LENGTH", "ROUNDS", "FF1Layout", "layout_of"]

ROUNDS = 10
MAX_TWEAK_LENGTH = (1 << 32) - 1


class FF1Layout(NamedTuple):
    """The constants of FF1 for a radix, length and tweak length.

    Attributes:
        u, v: digits of the left and the right half.
        end_a, end_b: radix^u and radix^v.
        b: bytes of a half in Q (step 3).
        d: bytes of the round output that are used (step 4).
        p: the first block (step 5).
        padding: zero bytes between tweak and round number in Q (step 6.i).
    """

    u: int
    v: int
    end_a: int
    end_b: int
    b: int
    d: int
    p: bytes
    padding: int


@lru_cache(maxsize=256)
def layout_of(radix: int, length: int, tweak_length: int) -> FF1Layout:
    """Computes the layout. Raises ValueError where the tweak is too long."""
    if tweak_length > MAX_TWEAK_LENGTH:
        raise ValueError("the tweak is too long")
    u = length // 2
    v = length - u
    end_a, end_b = radix**u, radix**v
    b = ((end_b - 1).bit_length() + 7) // 8
    p = b"\x01\x02\x01" + radix.to_bytes(3, "big") + bytes((ROUNDS, u % 256))
    p += length.to_bytes(4, "big") + tweak_length.to_bytes(4, "big")
    return FF1Layout(
        u, v, end_a, end_b, b, 4 * ((b + 3) // 4) + 4, p, -(tweak_length + b + 1) % BLOCK
    )
