"""FF1 over arrays: the rounds of ff1.py for a whole chunk of values at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vault.crypto.fpe.batch import BlockCipher, BlockFunction, chunks
from vault.crypto.fpe.block import BLOCK
from vault.crypto.fpe.ff1_layout import ROUNDS, FF1Layout, layout_of
from vault.crypto.fpe.limbs import (
    MASK_32,
    SHIFT_32,
    Column,
    Digits,
    HalfArithmetic,
    half_arithmetic,
)

__all__ = ["run_batch", "suits_batch"]

_BIG = np.dtype(">u8")
_MAX_WORDS = 64  # Beyond that (some 1,200 decimal digits) columns gain nothing.


def suits_batch(radix: int, length: int) -> bool:
    """Returns whether the batch form takes values of that length."""
    return length <= 32 * 2 * _MAX_WORDS and layout_of(radix, length, 0).d <= 4 * _MAX_WORDS


def run_batch(
    blocks: BlockCipher,
    radix: int,
    digits: Digits,
    tweaks: Sequence[bytes],
    *,
    decrypt: bool,
) -> Digits:
    """Runs FF1 over the rows of a checked (n, length) array, with 1 or n tweaks.

    Raises ValueError for a tweak that is too long.
    """
    lengths = set(map(len, tweaks))
    if len(lengths) == 1:
        return _run_equal(blocks, radix, digits, _table(tweaks), decrypt=decrypt)
    result = np.empty_like(digits, order="C")
    for length in lengths:
        chosen = [i for i, tweak in enumerate(tweaks) if len(tweak) == length]
        table = _table([tweaks[i] for i in chosen])
        result[chosen] = _run_equal(blocks, radix, digits[chosen], table, decrypt=decrypt)
    return result


def _table(tweaks: Sequence[bytes]) -> NDArray[np.uint8]:
    """Returns tweaks of one length as the rows of an array."""
    length = len(tweaks[0])
    return np.frombuffer(b"".join(tweaks), np.uint8).reshape(len(tweaks), length)


def _run_equal(
    blocks: BlockCipher, radix: int, digits: Digits, tweaks: NDArray[np.uint8], *, decrypt: bool
) -> Digits:
    """Runs rows whose tweaks, one or one for each, have one length."""
    rows, length = digits.shape
    layout = layout_of(radix, length, tweaks.shape[1])
    u, words = layout.u, layout.d // 4
    halves = half_arithmetic(radix, u, words), half_arithmetic(radix, layout.v, words)
    result = np.empty_like(digits, order="C")
    for chunk in chunks(rows, length):
        source, target = digits[chunk].T, result[chunk].T
        # NUM takes the most significant digit first, columns the least.
        numbers = halves[0].read(source[:u][::-1]), halves[1].read(source[u:][::-1])
        own = tweaks if len(tweaks) == 1 else tweaks[chunk]
        with blocks.for_rows(chunk.start, chunk.stop) as encipher:
            output = _round_function(encipher, layout, own, chunk.stop - chunk.start)
            a, b = _feistel(output, halves, numbers, decrypt=decrypt)
        halves[0].write(a, target[:u][::-1])
        halves[1].write(b, target[u:][::-1])
    return result


def _feistel(
    output: Callable[[int, list[Column]], list[Column]],
    halves: tuple[HalfArithmetic, HalfArithmetic],
    numbers: tuple[list[Column], list[Column]],
    *,
    decrypt: bool,
) -> tuple[list[Column], list[Column]]:
    (half_a, half_b), (a, b) = halves, numbers
    if decrypt:
        for i in range(ROUNDS - 2, -1, -2):
            b = half_b.add_output(b, output(i + 1, half_a.to_words(a)), subtract=True)
            a = half_a.add_output(a, output(i, half_b.to_words(b)), subtract=True)
    else:
        for i in range(0, ROUNDS, 2):
            a = half_a.add_output(a, output(i, half_b.to_words(b)), subtract=False)
            b = half_b.add_output(b, output(i + 1, half_a.to_words(a)), subtract=False)
    return a, b


def _chain_head(encipher: BlockFunction, layout: FF1Layout, tweaks: NDArray[np.uint8]) -> Column:
    """Chains P and the tweaks' whole blocks; returns the rest of Q's beginning xor the state.

    The shape is (rows, 64-bit words of Q's last blocks), in memory order; rows is 1 where
    all values share one tweak.
    """
    rows, used = len(tweaks), tweaks.shape[1] + layout.padding
    split = used // BLOCK * BLOCK
    tail = used - split + 1 + layout.b
    q = np.zeros((rows, split + tail), np.uint8)
    q[:, : tweaks.shape[1]] = tweaks
    wide = q.view(np.uint64)
    state = encipher(np.frombuffer(layout.p, np.uint64).reshape(1, 2).copy())
    for i in range(0, split // 8, 2):
        state = encipher(wide[:, i : i + 2] ^ state)
    rest = wide[:, split // 8 :].copy()
    rest[:, :2] ^= state
    return rest


def _round_function(
    encipher: BlockFunction, layout: FF1Layout, tweaks: NDArray[np.uint8], rows: int
) -> Callable[[int, list[Column]], list[Column]]:
    """Returns (round number, half) -> words of y (steps 6.i to 6.v), low word first."""
    rest = _chain_head(encipher, layout, tweaks)
    width = rest.shape[1]
    base = [column.astype(np.uint64) for column in rest.view(_BIG).T]
    tails = [np.empty((rows, 2), np.uint64) for _ in range(width // 2)]
    cells = [column for tail in tails for column in tail.view(_BIG).T]
    for cell, column in zip(cells, base, strict=True):
        cell[:] = column
    number_at, number_shift = divmod(8 * layout.b, 64)
    words = layout.d // 4

    def output(i: int, pairs: list[Column]) -> list[Column]:
        for e in range(number_at + 1):
            at = width - 1 - e
            value = base[at] if e >= len(pairs) else base[at] ^ pairs[e]
            if e == number_at:
                value = value ^ np.uint64(i << number_shift)
            cells[at][:] = value
        r = encipher(tails[0])
        for tail in tails[1:]:
            r = encipher(tail ^ r)
        return _low_words(_expand(encipher, r, words), words)

    return output


def _expand(encipher: BlockFunction, r: Column, words: int) -> list[Column]:
    """Returns S as 64-bit numbers, the most significant first (step 6.iii)."""
    parts = [r]
    for j in range(1, (words + 3) // 4):
        counter = np.frombuffer(j.to_bytes(BLOCK, "big"), np.uint64)
        parts.append(encipher(r ^ counter))
    return [column.astype(np.uint64) for part in parts for column in part.view(_BIG).T]


def _low_words(parts: Sequence[Column], words: int) -> list[Column]:
    """Returns the first ``words`` 32-bit words of S, the least significant first."""
    result = [
        half for part in parts[: (words + 1) // 2] for half in (part >> SHIFT_32, part & MASK_32)
    ]
    return result[:words][::-1]
