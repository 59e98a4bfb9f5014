"""A key wrapper over a random key in memory, for tests that need no key server.

Its wrapped keys end with the process; no setting of ``serve`` leads here.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.keys.unwrap_failures import UnwrapFailed, UnwrapFault

__all__ = ["LocalKeyWrapper"]

_PREFIX = "local:v1:"
_NONCE = 12
_KEY = 32


class LocalKeyWrapper:
    """``KeyWrapper`` under AES-256-GCM with the context as associated data."""

    def __init__(self) -> None:
        self._master = AESGCM(AESGCM.generate_key(256))

    def generate(self, contexts: Sequence[bytes]) -> Sequence[str]:
        """Makes one 256-bit data key per context; returns them wrapped."""
        return [self._wrap(context) for context in contexts]

    def unwrap(self, items: Sequence[tuple[bytes, str]]) -> Sequence[bytes]:
        """Opens (context, wrapped) pairs, in order. Raises UnwrapFailed."""
        opened = [self._open(context, wrapped) for context, wrapped in items]
        why = {at: UnwrapFault.FOREIGN for at, key in enumerate(opened) if key is None}
        if why:
            raise UnwrapFailed(why)
        return [key for key in opened if key is not None]

    def _wrap(self, context: bytes) -> str:
        nonce = os.urandom(_NONCE)
        sealed = self._master.encrypt(nonce, os.urandom(_KEY), context)
        return _PREFIX + base64.b64encode(nonce + sealed).decode("ascii")

    def _open(self, context: bytes, wrapped: str) -> bytes | None:
        try:
            sealed = base64.b64decode(wrapped.removeprefix(_PREFIX), validate=True)
            return self._master.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
        except (InvalidTag, ValueError):
            return None
