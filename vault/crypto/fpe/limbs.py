"""Columns of big numbers: one Feistel half of many values at once, as NumPy limbs.

A number of m digits is kept in limbs of base radix^k, the least significant first. k is
the greatest for which a sum of ``words`` products of a limb and a 32-bit word stays
below 2^64, so a round output of any width is reduced modulo radix^m with one division
per limb: every word is multiplied with 2^(32 j) mod radix^m, which is known beforehand.

``x - (x // M) * M`` instead of ``x % M``: NumPy divides by a scalar with SIMD
multiplications, but has no such path for the remainder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["MASK_32", "SHIFT_32", "Column", "Digits", "HalfArithmetic", "half_arithmetic"]

Column = NDArray[np.uint64]
Digits = NDArray[np.uint8] | NDArray[np.uint16]

MASK_32 = np.uint64(0xFFFFFFFF)
SHIFT_32 = np.uint64(32)
_WORD_END = 1 << 32
_SUM_END = 1 << 64


def _digits_per_limb(radix: int, words: int) -> int:
    """Returns the greatest k for which no sum in ``add_output`` reaches 2^64."""

    def fits(base: int) -> bool:
        products = words * (_WORD_END - 1) * (base - 1)
        carry = (words + 1) * _WORD_END
        return products + base + carry < _SUM_END

    k = 1
    while fits(radix ** (k + 1)):
        k += 1
    return k


class HalfArithmetic:
    """Arithmetic modulo radix^digits on columns, for round outputs of ``words`` words."""

    def __init__(self, radix: int, digits: int, words: int) -> None:
        k = _digits_per_limb(radix, words)
        self._radix = np.uint32(radix)
        self._spans = [(start, min(start + k, digits)) for start in range(0, digits, k)]
        sizes = [radix ** (stop - start) for start, stop in self._spans]
        self._bases = [np.uint64(size) for size in sizes]
        end = radix**digits
        powers = [(1 << 32 * j) % end for j in range(words)]
        self._plus = self._factors(powers, sizes)
        self._minus = self._factors([-power % end for power in powers], sizes)
        # Bits of the number made of limb i and those above it.
        ends = [radix ** (digits - start) - 1 for start, _ in self._spans]
        self._words_from = [(top.bit_length() + 31) // 32 for top in ends]

    @staticmethod
    def _factors(powers: Sequence[int], sizes: Sequence[int]) -> list[list[np.uint64]]:
        """Splits each word's factor into limbs; indexed by limb, then by word."""
        rows: list[list[np.uint64]] = [[] for _ in sizes]
        for power in powers:
            for row, size in zip(rows, sizes, strict=True):
                power, limb = divmod(power, size)
                row.append(np.uint64(limb))
        return rows

    def read(self, columns: Digits) -> list[Column]:
        """Makes limbs of digit columns (digit, value), the least significant digit first."""
        limbs = []
        for start, stop in self._spans:
            limb = columns[stop - 1].astype(np.uint32)
            for i in range(stop - 2, start - 1, -1):
                limb *= self._radix
                limb += columns[i]
            limbs.append(limb.astype(np.uint64))
        return limbs

    def write(self, limbs: Sequence[Column], columns: Digits) -> None:
        """Reverses ``read`` into existing digit columns."""
        for (start, stop), limb in zip(self._spans, limbs, strict=True):
            rest = limb.astype(np.uint32)
            for i in range(start, stop - 1):
                quotient = rest // self._radix
                columns[i] = rest - quotient * self._radix
                rest = quotient
            columns[stop - 1] = rest

    def to_words(self, limbs: Sequence[Column]) -> list[Column]:
        """Returns the numbers in base 2^64, the least significant part first."""
        if len(limbs) == 1:
            return [limbs[0]]
        top = limbs[-1] * self._bases[0] + limbs[-2]
        if len(limbs) == 2:
            return [top]
        words = [top & MASK_32, top >> SHIFT_32]
        for i in range(len(limbs) - 3, -1, -1):
            words = self._multiply_add(words, limbs[i], self._words_from[i])
        return [
            words[i] | words[i + 1] << SHIFT_32 if i + 1 < len(words) else words[i]
            for i in range(0, len(words), 2)
        ]

    def _multiply_add(self, words: Sequence[Column], limb: Column, count: int) -> list[Column]:
        """Returns words * base + limb, in as many words as the result can have."""
        base, result, carry = self._bases[0], [], limb
        for word in words:
            carry = word * base + carry
            result.append(carry & MASK_32)
            carry = carry >> SHIFT_32
        result.append(carry)
        return result[:count]

    def add_output(
        self, limbs: Sequence[Column], words: Sequence[Column], *, subtract: bool
    ) -> list[Column]:
        """Adds or subtracts round outputs (32-bit words, least significant first)."""
        result = []
        carry: Column | None = None
        factors = self._minus if subtract else self._plus
        for limb, row, base in zip(limbs, factors, self._bases, strict=True):
            total = limb.copy() if carry is None else limb + carry
            for word, factor in zip(words, row, strict=True):
                if factor:
                    total += word * factor
            carry = total // base
            total -= carry * base
            result.append(total)
        return result


@lru_cache(maxsize=512)
def half_arithmetic(radix: int, digits: int, words: int) -> HalfArithmetic:
    """Returns the (immutable) arithmetic for one kind of half."""
    return HalfArithmetic(radix, digits, words)
