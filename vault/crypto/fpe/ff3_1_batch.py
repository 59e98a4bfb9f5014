"""FF3-1 over arrays: the rounds of ff3_1.py for a whole chunk of values at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vault.crypto.fpe.batch import BlockCipher, BlockFunction, chunks
from vault.crypto.fpe.ff3_1_tweak import ROUNDS, tweak_word_columns
from vault.crypto.fpe.limbs import (
    MASK_32,
    SHIFT_32,
    Column,
    Digits,
    HalfArithmetic,
    half_arithmetic,
)

__all__ = ["run_batch"]

_WORDS = 4  # A round's output is a whole block.
_LITTLE = np.dtype("<u8")


def run_batch(
    blocks: BlockCipher,
    radix: int,
    digits: Digits,
    tweaks: Sequence[bytes],
    *,
    decrypt: bool,
) -> Digits:
    """Runs FF3-1 over the rows of a checked (n, length) array, with 1 or n tweaks.

    Raises ValueError for a tweak that is not 7 bytes.
    """
    rows, length = digits.shape
    words = tweak_word_columns(tweaks) << SHIFT_32
    u = (length + 1) // 2
    halves = half_arithmetic(radix, u, _WORDS), half_arithmetic(radix, length - u, _WORDS)
    result = np.empty_like(digits, order="C")
    for chunk in chunks(rows, length):
        source, target = digits[chunk].T, result[chunk].T
        a, b = halves[0].read(source[:u]), halves[1].read(source[u:])
        own = words if words.shape[1] == 1 else words[:, chunk]
        with blocks.for_rows(chunk.start, chunk.stop) as encipher:
            a, b = _feistel(encipher, halves, (a, b), own, decrypt=decrypt)
        halves[0].write(a, target[:u])
        halves[1].write(b, target[u:])
    return result


def _feistel(
    encipher: BlockFunction,
    halves: tuple[HalfArithmetic, HalfArithmetic],
    numbers: tuple[list[Column], list[Column]],
    words: Column,
    *,
    decrypt: bool,
) -> tuple[list[Column], list[Column]]:
    (half_a, half_b), (a, b), (left, right) = halves, numbers, words
    output = _round_function(encipher, len(a[0]))
    if decrypt:
        for i in range(ROUNDS - 2, -1, -2):
            b = half_b.add_output(b, output(left, i + 1, half_a.to_words(a)), subtract=True)
            a = half_a.add_output(a, output(right, i, half_b.to_words(b)), subtract=True)
    else:
        for i in range(0, ROUNDS, 2):
            a = half_a.add_output(a, output(right, i, half_b.to_words(b)), subtract=False)
            b = half_b.add_output(b, output(left, i + 1, half_a.to_words(a)), subtract=False)
    return a, b


def _round_function(
    encipher: BlockFunction, rows: int
) -> Callable[[Column, int, list[Column]], list[Column]]:
    """Returns (tweak word, round number, half) -> words of AES's output, low word first."""
    blocks = np.empty((rows, 2), np.uint64)
    low, high = blocks.view(_LITTLE).T

    def output(word: Column, i: int, pairs: list[Column]) -> list[Column]:
        top = word ^ np.uint64(i << 32)
        low[:] = pairs[0]
        high[:] = top if len(pairs) == 1 else pairs[1] | top
        first, second = encipher(blocks).view(_LITTLE).T
        return [first & MASK_32, first >> SHIFT_32, second & MASK_32, second >> SHIFT_32]

    return output
