"""AES-256-GCM (SP 800-38D) in Tokenvault's ciphertext layout.

``"TKV" | format version 1 (u8) | key version (u32) | nonce (12) | ciphertext | tag (16)``

The layout is final. The key is chosen by the version in the header, never by trial,
and the header is authenticated, so a changed version fails. Whatever the cause, a
ciphertext that does not open raises the same DecryptionFailed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.encoding import length_prefixed, prefixed_each, u32, utf8
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

    def seal_each(
        self, plaintexts: Sequence[bytes], shared: bytes, own: Sequence[bytes]
    ) -> list[bytes]:
        """Encrypts each as ``seal`` with two context parts, the first of which all share."""
        header, encrypt = self._header, self._cipher.encrypt
        # One system call for all of them, which costs as much as an encryption.
        random = urandom(_NONCE_LENGTH * len(plaintexts))
        nonces = [random[at : at + _NONCE_LENGTH] for at in range(0, len(random), _NONCE_LENGTH)]
        return [
            header + nonce + encrypt(nonce, plaintext, aad)
            for nonce, plaintext, aad in zip(
                nonces, plaintexts, self._aads(shared, own), strict=True
            )
        ]

    def open_each(
        self, ciphertexts: Sequence[bytes], shared: bytes, own: Sequence[bytes]
    ) -> list[bytes | None]:
        """Decrypts each as ``open`` with two context parts; None for what does not open."""
        decrypt, aads = self._cipher.decrypt, self._aads(shared, own)
        headers = {each[:HEADER_LENGTH] for each in ciphertexts}
        if headers == {self._header} and min(map(len, ciphertexts)) >= OVERHEAD:
            # As nearly always: no further look at each. One that does not open ends it.
            with suppress(InvalidTag):
                return [
                    decrypt(each[HEADER_LENGTH:_BODY], each[_BODY:], aad)
                    for each, aad in zip(ciphertexts, aads, strict=True)
                ]
        return [self._opened(each, aad) for each, aad in zip(ciphertexts, aads, strict=True)]

    def _opened(self, ciphertext: bytes, aad: bytes) -> bytes | None:
        if len(ciphertext) < OVERHEAD or not ciphertext.startswith(self._header):
            return None
        with suppress(InvalidTag):
            return self._cipher.decrypt(ciphertext[HEADER_LENGTH:_BODY], ciphertext[_BODY:], aad)
        return None

    def _aads(self, shared: bytes, own: Sequence[bytes]) -> list[bytes]:
        return prefixed_each(self._aad + length_prefixed(shared), own)
