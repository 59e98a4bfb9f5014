"""Rows of an array in order: sorted as their texts sort, equal ones found.

Rows are packed into as few 64-bit numbers as their characters allow. Sorting numbers takes
a tenth of the time that sorting strings does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vault.crypto.fpe.codes import Codes
from vault.crypto.fpe.limbs import Digits

__all__ = ["as_items", "distinct_rows", "sorted_rows"]

_WORD_END = 1 << 64
_EIGHT = 8  # bytes of a 64-bit number
_CACHED = 16384  # rows that are worked on at a time

Indexes = NDArray[np.int64]


def as_items(table: Codes | Digits) -> NDArray[np.void]:
    """Returns the rows of an (n, length) array, length not 0, as n items of one piece each.

    Comparing and moving pieces takes a quarter of the time that all their cells take.
    """
    packed = np.ascontiguousarray(table)
    return packed.view(f"V{packed.shape[1] * packed.itemsize}").reshape(-1)


def sorted_rows(table: Codes | Digits) -> tuple[Indexes, NDArray[np.bool_]]:
    """Sorts the rows of an (n, length) array, neither of them 0.

    Returns:
        The rows' indexes in order, and where in that order a row differs from the one before.
    """
    words = _words(table)
    order = np.argsort(words[0]) if len(words) == 1 else np.lexsort(words[::-1])
    first = np.zeros(len(order), np.bool_)
    first[0] = True
    for word in words:
        ordered = word[order]
        first[1:] |= ordered[1:] != ordered[:-1]
    return order, first


def distinct_rows(table: Codes | Digits) -> tuple[Indexes, Indexes]:
    """Finds equal rows of an (n, length) array, neither of them 0.

    Returns:
        The index of one row of each kind, and the number of its kind for every row.
    """
    order, first = sorted_rows(table)
    kinds = np.empty(len(order), np.int64)
    kinds[order] = np.cumsum(first) - 1
    return order[first], kinds


def _words(table: Codes | Digits) -> list[NDArray[np.uint64]]:
    """Packs each row into numbers that compare as the rows do, the weightiest first."""
    least = int(table.min())
    radix = max(2, int(table.max()) - least + 1)
    ranks = table - table.dtype.type(least)
    if ranks.dtype == np.uint8:
        parts, radix = _eights(ranks, radix), radix**_EIGHT
    else:
        parts = ranks
    per_word = 1
    while radix ** (per_word + 1) <= _WORD_END:
        per_word += 1
    return [_word(parts[:, at : at + per_word], radix) for at in range(0, parts.shape[1], per_word)]


def _word(parts: NDArray[np.integer], radix: int) -> NDArray[np.uint64]:
    word = parts[:, 0].astype(np.uint64)
    for part in parts.T[1:]:
        word *= np.uint64(radix)
        word += part
    return word


def _eights(ranks: NDArray[np.uint8], radix: int) -> NDArray[np.uint64]:
    """Packs eight bytes at a time, filled up on the right with the least.

    By halves: neighbours are the two ends of a number twice as wide, and their sum fits it.
    """
    count, width = ranks.shape
    whole = -(-width // _EIGHT) * _EIGHT
    if whole != width:
        filled = np.zeros((count, whole), np.uint8)
        filled[:, :width] = ranks
        ranks = filled
    cells = np.ascontiguousarray(ranks)
    halves = np.empty_like(cells[:_CACHED])
    for start in range(0, count, _CACHED):
        part = cells[start : start + _CACHED]
        for size in (2, 4, 8):
            numbers = part.view(f"<u{size}")
            of = numbers.dtype.type
            second = np.right_shift(
                numbers, of(4 * size), out=halves[: len(part)].view(f"<u{size}")
            )
            numbers &= of((1 << 4 * size) - 1)
            numbers *= of(radix ** (size // 2))
            numbers += second
    return cells.view("<u8")
