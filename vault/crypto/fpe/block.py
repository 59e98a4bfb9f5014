"""AES as a block cipher, for the Feistel rounds of FF1 and FF3-1."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from numpy.typing import NDArray

from vault.crypto.secret import KeyBytes, Secret

__all__ = ["BLOCK", "Aes"]

BLOCK = 16
_KEY_LENGTHS = (16, 24, 32)


class Aes(Secret):
    """AES-128, -192 or -256, one block or many independent blocks at a time.

    A context of ``cryptography`` may serve one thread at a time ("Already borrowed"
    otherwise) and costs some 3 us to make, so contexts are pooled. List
    ``append`` and ``pop`` are atomic, hence no lock.
    """

    __slots__ = ("_cipher", "_idle")

    def __init__(self, key: bytes | bytearray) -> None:
        """Takes a key of 16, 24 or 32 bytes. Raises ValueError for another length."""
        if len(key) not in _KEY_LENGTHS:
            raise ValueError("an AES key must be 16, 24 or 32 bytes")
        # ECB is only the bare block function here; the modes are FF1's and FF3-1's own.
        self._cipher = Cipher(AES(KeyBytes(key)), ECB())  # noqa: S305
        self._idle: list[CipherContext] = []

    def acquire_context(self) -> CipherContext:
        """Returns a context for the caller alone, until ``release_context``."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._cipher.encryptor()

    def release_context(self, context: CipherContext) -> None:
        """Returns a context to the pool; it has processed whole blocks only."""
        self._idle.append(context)

    def many(self, blocks: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Encrypts a contiguous (n, 2) array of block halves as they lie in memory."""
        # update_into asks for room for one block more than it writes.
        output = np.empty((len(blocks) + 1, 2), np.uint64)
        context = self.acquire_context()
        context.update_into(blocks.data.cast("B"), output.data.cast("B"))
        self.release_context(context)
        return output[:-1]
