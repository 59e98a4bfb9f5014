"""HMAC-SHA-256 (RFC 2104, FIPS 198-1) under a fixed key."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from vault.crypto.secret import Secret

__all__ = ["Prf"]


class Prf(Secret):
    """A keyed HMAC whose key block is hashed once. Threads may share it."""

    __slots__ = ("_start",)

    def __init__(self, key: bytes | bytearray, prefix: bytes = b"") -> None:
        self._start = HMAC(key, SHA256())
        self._start.update(prefix)

    def digest(self, message: bytes | memoryview) -> bytes:
        """Returns the 32-byte MAC of the prefix followed by the message."""
        state = self._start.copy()
        state.update(message)
        return state.finalize()
