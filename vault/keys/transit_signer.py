"""Signatures under an Ed25519 key of the key server's Transit engine, for an operator.

The service's login may not sign: what certifies its keys must be out of its reach.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from vault.keys.connection import KeyServerConnection, KeyServerError, KeyServerFault
from vault.keys.login_methods import object_at

__all__ = ["TransitSigner"]

_KIND = "ed25519"
_PUBLIC_BYTES, _SIGNATURE_BYTES = 32, 64


class TransitSigner:
    """The newest version of one key of Transit; asks for it once, at the beginning."""

    def __init__(self, connection: KeyServerConnection, mount: str, name: str) -> None:
        """Reads the public key.

        Raises KeysUnavailable, also where the key is not ``ed25519``, or is derived.
        """
        self._connection = connection
        self._sign = f"{mount}/sign/{name}"
        self.name = f"{mount}/{name}"
        key = object_at(connection.read(f"{mount}/keys/{name}"), "data")
        version = key.get("latest_version")
        if type(version) is not int or key.get("type") != _KIND or key.get("derived"):
            raise KeyServerError(KeyServerFault.NOT_ED25519)
        self._version = version
        stored = object_at(object_at(key, "keys"), str(version))
        self._public = _decoded(stored, "public_key", _PUBLIC_BYTES)

    @property
    def public(self) -> bytes:
        """The public key's 32 bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Returns the signature's 64 bytes. Raises KeysUnavailable."""
        body = {"input": base64.b64encode(message).decode(), "key_version": self._version}
        data = object_at(self._connection.write(self._sign, body), "data")
        text = data.get("signature")
        prefix = f"vault:v{self._version}:"
        if not isinstance(text, str) or not text.startswith(prefix):
            raise KeyServerError(KeyServerFault.UNEXPECTED)
        return _decoded({"signature": text.removeprefix(prefix)}, "signature", _SIGNATURE_BYTES)


def _decoded(source: Mapping[str, object], name: str, length: int) -> bytes:
    text = source.get(name)
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        content = b""
    if len(content) != length:
        raise KeyServerError(KeyServerFault.UNEXPECTED)
    return content
