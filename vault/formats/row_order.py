"""Rows of an array in order: sorted as their texts sort, equal ones found.

Rows are packed into as few 64-bit numbers as their characters allow. Sorting numbers takes
a tenth of the time that sorting strings does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vault.crypto.codes import Codes
from vault.crypto.limbs import Digits

__all__ = ["as_items", "distinct_rows", "sorted_rows"]

_WORD_END = 1 << 64

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
    per_word = 1
    while radix ** (per_word + 1) <= _WORD_END:
        per_word += 1
    ranks = table - table.dtype.type(least)
    words = []
    for start in range(0, ranks.shape[1], per_word):
        columns = ranks[:, start : start + per_word].T
        word = columns[0].astype(np.uint64)
        for column in columns[1:]:
            word *= np.uint64(radix)
            word += column
        words.append(word)
    return words
