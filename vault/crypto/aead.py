"""AES-256-GCM (SP 800-38D) in Tokenvault's ciphertext layout.

``"TKV" | format version 1 (u8) | key version (u32) | nonce (12) | ciphertext | tag (16)``

The layout is final. The key is chosen by the version in the header, never by trial,
and the header is authenticated, so a changed version fails. Whatever the cause, a
ciphertext that does not open raises the same DecryptionFailed.
"""

from __future__ import annotations

from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.encoding import length_prefixed, u32, utf8
from vault.crypto.kdf import Label, sub_key
from vault.crypto.secret import Secret
from vault.errors import DecryptionFailed

__all__ = ["HEADER_LENGTH", "OVERHEAD", "BoundAead", "key_version_of"]

_MAGIC = b"TKV\x01"
HEADER_LENGTH = 8
_NONCE_LENGTH = 12
_TAG_LENGTH = 16
_BODY = HEADER_LENGTH + _NONCE_LENGTH
OVERHEAD = _BODY + _TAG_LENGTH


def key_version_of(ciphertext: bytes) -> int:
    """Reads the key version a ciphertext claims. Raises DecryptionFailed if malformed."""
    if len(ciphertext) < OVERHEAD or ciphertext[: len(_MAGIC)] != _MAGIC:
        raise DecryptionFailed
    return int.from_bytes(ciphertext[len(_MAGIC) : HEADER_LENGTH], "big")


class BoundAead(Secret):
    """One AES-256-GCM key bound to purpose, tenant, field and version. Threads may share it."""

    __slots__ = ("_aad", "_cipher", "_header")

    def __init__(self, root: bytes, label: Label, tenant: str, field: str, version: int) -> None:
        self._cipher = AESGCM(sub_key(root, label, tenant, field, version))
        self._header = _MAGIC + u32(version)
        self._aad = length_prefixed(label.value, self._header, utf8(tenant), utf8(field))

    def seal(self, plaintext: bytes, *context: bytes) -> bytes:
        """Encrypts under a fresh random nonce and binds the context parts."""
        nonce = urandom(_NONCE_LENGTH)
        aad = self._aad + length_prefixed(*context)
        return self._header + nonce + self._cipher.encrypt(nonce, plaintext, aad)

    def open(self, ciphertext: bytes, *context: bytes) -> bytes:
        """Decrypts. Raises DecryptionFailed."""
        if len(ciphertext) < OVERHEAD or ciphertext[:HEADER_LENGTH] != self._header:
            raise DecryptionFailed
        nonce = ciphertext[HEADER_LENGTH:_BODY]
        aad = self._aad + length_prefixed(*context)
        try:
            return self._cipher.decrypt(nonce, ciphertext[_BODY:], aad)
        except InvalidTag:
            raise DecryptionFailed from None
