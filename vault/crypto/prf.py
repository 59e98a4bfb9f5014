"""HMAC-SHA-256 (RFC 2104, FIPS 198-1) under a fixed key."""

from __future__ import annotations

from collections.abc import Iterable

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

    def digests(self, messages: Iterable[bytes]) -> list[bytes]:
        """Returns the MAC of each message, in order."""
        start, digests = self._start.copy, []
        for message in messages:
            state = start()
            state.update(message)
            digests.append(state.finalize())
        return digests
