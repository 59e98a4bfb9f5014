"""FF3-1 as in the February 2019 draft of SP 800-38G Rev. 1, section 5.2.

NIST withdrew FF3-1 in the draft of February 2025: FF1 remains the standard. This is
the readable form over Python integers; ff3_1_batch.py is proven equal to it.

Instead of reversing strings and blocks (REV, REVB) the halves are kept as the numbers
of their reversed numerals, and blocks are written and read little-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

from vault.crypto.fpe.batch import Integers, SingleKey, as_type_of, checked_digits
from vault.crypto.fpe.block import BLOCK, Aes
from vault.crypto.fpe.domain import ff3_1_max_length, min_length
from vault.crypto.fpe.ff3_1_batch import run_batch
from vault.crypto.fpe.ff3_1_tweak import ROUNDS, tweak_words
from vault.crypto.fpe.inputs import Buffer, key_of, radix_of, tweak_of, tweaks_of
from vault.crypto.fpe.numerals import check_numerals, from_number, to_number
from vault.crypto.secret import Secret

__all__ = ["FF3_1"]

_TWEAK_SHIFT = 96


class FF3_1(Secret):  # noqa: N801 - the standard's name
    """FF3-1 under one key and radix. Threads may share an instance.

    Attributes:
        aes: the block cipher, for batches over several keys.
        radix: 2..65536.
        min_length: least number of digits (radix^min_length >= 1,000,000).
        max_length: greatest number of digits.
    """

    __slots__ = ("aes", "max_length", "min_length", "radix")

    def __init__(self, key: Buffer, radix: SupportsIndex) -> None:
        """Takes a key of 16, 24 or 32 bytes. Raises ValueError or TypeError for key or radix."""
        plain = radix_of(radix)
        backwards = key_of(key)
        backwards.reverse()
        self.aes = Aes(backwards)
        self.radix = plain
        self.min_length = min_length(plain)
        self.max_length = ff3_1_max_length(plain)

    def encrypt(self, digits: Sequence[int], tweak: Buffer) -> list[int]:
        """Enciphers digits under a 7-byte tweak. Raises ValueError or TypeError."""
        return self._run(digits, tweak, decrypt=False)

    def decrypt(self, digits: Sequence[int], tweak: Buffer) -> list[int]:
        """Deciphers digits under a 7-byte tweak. Raises ValueError or TypeError."""
        return self._run(digits, tweak, decrypt=True)

    def encrypt_batch(self, digits: Integers, tweaks: Buffer | Sequence[Buffer]) -> Integers:
        """Enciphers an (n, length) array of unsigned integers, one value per row.

        Args:
            digits: left as it is; any integer type.
            tweaks: one of 7 bytes for all rows, or a sequence of n.

        Returns:
            An array of the same shape, and type where that holds every digit.

        Raises:
            TypeError: not an array of integers, or tweaks that are not bytes.
            ValueError: a shape, length, digit or tweak out of bounds.
        """
        return self._run_batch(digits, tweaks, decrypt=False)

    def decrypt_batch(self, digits: Integers, tweaks: Buffer | Sequence[Buffer]) -> Integers:
        """Reverses ``encrypt_batch``; the same shapes and errors."""
        return self._run_batch(digits, tweaks, decrypt=True)

    def _run_batch(
        self, digits: Integers, tweaks: Buffer | Sequence[Buffer], *, decrypt: bool
    ) -> Integers:
        numerals = checked_digits(digits, self.radix, self.min_length, self.max_length)
        each = tweaks_of(tweaks, len(numerals))
        result = run_batch(SingleKey(self.aes), self.radix, numerals, each, decrypt=decrypt)
        return as_type_of(result, digits, self.radix)

    def _run(self, digits: Sequence[int], tweak: Buffer, *, decrypt: bool) -> list[int]:
        words = tweak_words(tweak_of(tweak))
        numerals = check_numerals(digits, self.radix, self.min_length, self.max_length)
        length = len(numerals)
        u = (length + 1) // 2
        numerals.reverse()
        a = to_number(numerals[length - u :], self.radix)
        b = to_number(numerals[: length - u], self.radix)
        feistel = self._backward if decrypt else self._forward
        a, b = feistel(a, b, self.radix**u, self.radix ** (length - u), words)
        return from_number(a, self.radix, u) + from_number(b, self.radix, length - u)

    # Two rounds at a time: the halves need not be swapped, and each keeps its modulus.

    def _forward(
        self, a: int, b: int, end_a: int, end_b: int, words: tuple[int, int]
    ) -> tuple[int, int]:
        left, right = words
        context = self.aes.acquire_context()
        update = context.update
        for i in range(0, ROUNDS, 2):
            block = ((right ^ i) << _TWEAK_SHIFT | b).to_bytes(BLOCK, "little")
            a = (a + int.from_bytes(update(block), "little")) % end_a
            block = ((left ^ (i + 1)) << _TWEAK_SHIFT | a).to_bytes(BLOCK, "little")
            b = (b + int.from_bytes(update(block), "little")) % end_b
        self.aes.release_context(context)
        return a, b

    def _backward(
        self, a: int, b: int, end_a: int, end_b: int, words: tuple[int, int]
    ) -> tuple[int, int]:
        left, right = words
        context = self.aes.acquire_context()
        update = context.update
        for i in range(ROUNDS - 2, -1, -2):
            block = ((left ^ (i + 1)) << _TWEAK_SHIFT | a).to_bytes(BLOCK, "little")
            b = (b - int.from_bytes(update(block), "little")) % end_b
            block = ((right ^ i) << _TWEAK_SHIFT | b).to_bytes(BLOCK, "little")
            a = (a - int.from_bytes(update(block), "little")) % end_a
        self.aes.release_context(context)
        return a, b
