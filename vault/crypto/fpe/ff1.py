"""FF1 (NIST SP 800-38G, section 5.1), with the domain rule of Rev. 1.

The readable form over Python integers; ff1_batch.py is proven equal to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import SupportsIndex

import numpy as np

from vault.crypto.fpe.batch import Integers, SingleKey, as_type_of, checked_digits
from vault.crypto.fpe.block import BLOCK, Aes
from vault.crypto.fpe.domain import FF1_MAX_LENGTH, min_length
from vault.crypto.fpe.ff1_batch import run_batch, suits_batch
from vault.crypto.fpe.ff1_layout import ROUNDS, FF1Layout, layout_of
from vault.crypto.fpe.inputs import Buffer, key_of, radix_of, tweak_of, tweaks_of
from vault.crypto.fpe.limbs import Digits
from vault.crypto.fpe.numerals import check_numerals, from_number, to_number
from vault.crypto.secret import Secret

__all__ = ["FF1"]


class FF1(Secret):
    """FF1 under one key and radix. Threads may share an instance.

    Attributes:
        radix: 2..65536.
        min_length: least number of digits (radix^min_length >= 1,000,000).
        max_length: greatest number of digits, 2^32 - 1. The arithmetic on a value takes time
            that grows with the square of its length: 25 ms for 10,000 digits, 2 s for 100,000.
    """

    __slots__ = ("_aes", "max_length", "min_length", "radix")

    def __init__(self, key: Buffer, radix: SupportsIndex) -> None:
        """Takes a key of 16, 24 or 32 bytes. Raises ValueError or TypeError for key or radix."""
        plain = radix_of(radix)
        self._aes = Aes(key_of(key))
        self.radix = plain
        self.min_length = min_length(plain)
        self.max_length = FF1_MAX_LENGTH

    def encrypt(self, digits: Sequence[int], tweak: Buffer) -> list[int]:
        """Enciphers digits under a tweak of any length. Raises ValueError or TypeError."""
        return self._run(digits, tweak, decrypt=False)

    def decrypt(self, digits: Sequence[int], tweak: Buffer) -> list[int]:
        """Deciphers digits under a tweak of any length. Raises ValueError or TypeError."""
        return self._run(digits, tweak, decrypt=True)

    def encrypt_batch(self, digits: Integers, tweaks: Buffer | Sequence[Buffer]) -> Integers:
        """Enciphers an (n, length) array of unsigned integers, one value per row.

        Args:
            digits: left as it is; any integer type.
            tweaks: one for all rows, or a sequence of n, which may differ in length.

        Returns:
            An array of the same shape, and type where that holds every digit.

        Raises:
            TypeError: not an array of integers, or tweaks that are not bytes.
            ValueError: a shape, length, digit or number of tweaks out of bounds.
        """
        return self._run_batch(digits, tweaks, decrypt=False)

    def decrypt_batch(self, digits: Integers, tweaks: Buffer | Sequence[Buffer]) -> Integers:
        """Reverses ``encrypt_batch``; the same shapes and errors."""
        return self._run_batch(digits, tweaks, decrypt=True)

    def _run_batch(
        self, digits: Integers, tweaks: Buffer | Sequence[Buffer], *, decrypt: bool
    ) -> Integers:
        numerals = checked_digits(digits, self.radix, self.min_length, self.max_length)
        rows, length = numerals.shape
        each = tweaks_of(tweaks, rows)
        if suits_batch(self.radix, length):
            result = run_batch(SingleKey(self._aes), self.radix, numerals, each, decrypt=decrypt)
        else:
            result = self._run_each(numerals, each, decrypt=decrypt)
        return as_type_of(result, digits, self.radix)

    def _run_each(self, numerals: Digits, tweaks: Sequence[bytes], *, decrypt: bool) -> Digits:
        """Takes values of thousands of digits one by one."""
        result = np.empty_like(numerals)
        for i, row in enumerate(numerals.tolist()):
            result[i] = self._run(row, tweaks[i % len(tweaks)], decrypt=decrypt)
        return result

    def _run(self, digits: Sequence[int], tweak: Buffer, *, decrypt: bool) -> list[int]:
        numerals = check_numerals(digits, self.radix, self.min_length, self.max_length)
        own = tweak_of(tweak)
        layout = layout_of(self.radix, len(numerals), len(own))
        a = to_number(numerals[: layout.u], self.radix)
        b = to_number(numerals[layout.u :], self.radix)
        end_a, end_b = layout.end_a, layout.end_b
        context = self._aes.acquire_context()
        output = _round_function(context.update, layout, own)
        # Two rounds at a time: the halves need not be swapped, and each keeps its modulus.
        if decrypt:
            for i in range(ROUNDS - 2, -1, -2):
                b = (b - output(i + 1, a)) % end_b
                a = (a - output(i, b)) % end_a
        else:
            for i in range(0, ROUNDS, 2):
                a = (a + output(i, b)) % end_a
                b = (b + output(i + 1, a)) % end_b
        self._aes.release_context(context)
        left = from_number(a, self.radix, layout.u)
        right = from_number(b, self.radix, layout.v)
        return left[::-1] + right[::-1]


def _chain(update: Callable[[bytes], bytes], state: int, data: bytes) -> int:
    """CBC-MAC (PRF, algorithm 6) of whole blocks on top of a state."""
    for start in range(0, len(data), BLOCK):
        block = state ^ int.from_bytes(data[start : start + BLOCK], "big")
        state = int.from_bytes(update(block.to_bytes(BLOCK, "big")), "big")
    return state


def _round_function(
    update: Callable[[bytes], bytes], layout: FF1Layout, tweak: bytes
) -> Callable[[int, int], int]:
    """Returns steps 6.i to 6.v: (round number, half) -> y.

    P and the tweak's whole blocks are the same in every round and are chained once.
    """
    head = tweak + bytes(layout.padding)
    split = len(head) // BLOCK * BLOCK
    state = _chain(update, 0, layout.p + head[:split])
    rest = head[split:]
    width = layout.b

    def one_block(i: int, half: int) -> int:
        block = (start ^ (i << round_shift | half)).to_bytes(BLOCK, "big")
        return int.from_bytes(update(block), "big") >> unused

    def many_blocks(i: int, half: int) -> int:
        r = _chain(update, state, rest + bytes((i,)) + half.to_bytes(width, "big"))
        s = r.to_bytes(BLOCK, "big")
        for j in range(1, (layout.d + BLOCK - 1) // BLOCK):
            s += update((r ^ j).to_bytes(BLOCK, "big"))
        return int.from_bytes(s[: layout.d], "big")

    if len(rest) + 1 + width > BLOCK or layout.d > BLOCK:
        return many_blocks
    round_shift = 8 * width
    start = state ^ int.from_bytes(rest, "big") << 8 * (width + 1)
    unused = 8 * (BLOCK - layout.d)
    return one_block
