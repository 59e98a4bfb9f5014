"""What the batch forms of FF1 and FF3-1 share: arrays in, arrays out, chunks, AES calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import numpy as np
from numpy.ma import MaskedArray
from numpy.typing import NDArray

from vault.crypto.fpe.block import BLOCK, Aes
from vault.crypto.fpe.limbs import Digits
from vault.crypto.secret import Secret

__all__ = [
    "BlockCipher",
    "BlockFunction",
    "Integers",
    "KeyRuns",
    "SingleKey",
    "as_type_of",
    "checked_digits",
    "chunks",
]

Integers = NDArray[np.integer]
BlockFunction = Callable[[NDArray[np.uint64]], NDArray[np.uint64]]

# Rows per chunk: about a megabyte of columns for 16 digits, so that they stay in cache.
_CELLS = 8192 * 16
_MIN_ROWS = 256
_MAX_ROWS = 8192


class BlockCipher(Protocol):
    """AES over the rows of a batch."""

    def for_rows(self, start: int, stop: int, /) -> AbstractContextManager[BlockFunction]:
        """Returns the block function of some rows: (n, 2) arrays of 64-bit halves of blocks."""


def checked_digits(digits: object, radix: int, shortest: int, longest: int) -> Digits:
    """Checks an (n, length) array and returns it in the smallest type that holds a digit.

    Raises TypeError for what is no integer array, ValueError for shape, length or digit.
    """
    # Masked cells may hold anything.
    if not isinstance(digits, np.ndarray) or isinstance(digits, MaskedArray):
        raise TypeError("digits must be an array of unsigned integers")
    if digits.dtype.kind not in "ui":
        raise TypeError("digits must be an array of unsigned integers")
    digits = np.asarray(digits)  # of a matrix, an array
    if digits.ndim != 2:
        raise ValueError("digits must be a two-dimensional array: one row per value")
    if not shortest <= digits.shape[1] <= longest:
        raise ValueError(f"the length must be from {shortest} to {longest}")
    if digits.size and not 0 <= int(digits.min()) <= int(digits.max()) < radix:
        raise ValueError("a digit is outside of the radix")
    if radix <= 256:
        return digits.astype(np.uint8, copy=False)
    return digits.astype(np.uint16, copy=False)


def as_type_of(result: Digits, digits: Integers, radix: int) -> Integers:
    """Returns the result in the caller's type, or in a wider one that holds every digit."""
    if int(np.iinfo(digits.dtype).max) < radix - 1:
        return result
    return result.astype(digits.dtype, copy=False)


def chunks(rows: int, length: int) -> Iterator[slice]:
    """Cuts rows into even chunks whose columns stay in cache."""
    most = min(_MAX_ROWS, max(_MIN_ROWS, _CELLS // length))
    count = -(-rows // most)
    for i in range(count):
        yield slice(rows * i // count, rows * (i + 1) // count)


class SingleKey(Secret):
    """All rows under one key."""

    __slots__ = ("_aes",)

    def __init__(self, aes: Aes) -> None:
        self._aes = aes

    def for_rows(self, _start: int, _stop: int, /) -> AbstractContextManager[BlockFunction]:
        """Returns the same function for all rows."""
        return nullcontext(self._aes.many)


class KeyRuns(Secret):
    """Runs of rows under different keys: one AES call per run, all else vectorised.

    Args:
        keys: the key of each run.
        bounds: where each run begins, ascending from 0, and at last the number of rows.
    """

    __slots__ = ("_bounds", "_keys")

    def __init__(self, keys: Sequence[Aes], bounds: Sequence[int]) -> None:
        self._keys = keys
        self._bounds = np.array(bounds, dtype=np.int64)

    @contextmanager
    def for_rows(self, start: int, stop: int, /) -> Iterator[BlockFunction]:
        """Yields the function for some rows, with one AES context per run of equal keys."""
        first = int(np.searchsorted(self._bounds, start, side="right")) - 1
        last = int(np.searchsorted(self._bounds, stop, side="left"))
        bounds = np.clip(self._bounds[first : last + 1], start, stop) - start
        offsets = (bounds * BLOCK).tolist()
        keys = self._keys[first:last]
        contexts = [key.acquire_context() for key in keys]
        updates = [context.update for context in contexts]
        parts = list(zip(updates, map(slice, offsets[:-1], offsets[1:]), strict=True))

        def encipher(blocks: NDArray[np.uint64]) -> NDArray[np.uint64]:
            data = blocks.tobytes()
            output = b"".join([update(data[part]) for update, part in parts])
            return np.frombuffer(output, np.uint64).reshape(-1, 2)

        yield encipher
        for key, context in zip(keys, contexts, strict=True):
            key.release_context(context)
