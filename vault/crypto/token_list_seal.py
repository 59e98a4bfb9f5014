"""Sealing lists of tokens under a MAC key: AES-256-GCM with a key of its own for each list.

The key is derived from the MAC key and a random salt, and used once, so the nonce is fixed.
"""

from __future__ import annotations

from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import MacKey
from vault.errors import DecryptionFailed

__all__ = ["SALT_LENGTH", "TokenList", "open_tokens", "seal_tokens"]

SALT_LENGTH = 16
_NONCE = bytes(12)
_SIZE = 4


class TokenList(Enum):
    """What a list of tokens is for, by the label that it is sealed under."""

    ERASURE = b"tokenvault/v1/audit-erasure"
    HONEY = b"tokenvault/v1/honey-tokens"


def seal_tokens(
    kind: TokenList, key: MacKey, salt: bytes, tokens: list[str], *context: bytes
) -> bytes:
    """Encrypts tokens, bound to context parts. A salt is random and used once."""
    plaintext = length_prefixed(*(token.encode() for token in tokens))
    return _cipher(kind, key, salt).encrypt(
        _NONCE, plaintext, length_prefixed(kind.value, *context)
    )


def open_tokens(
    kind: TokenList, key: MacKey, salt: bytes, sealed: bytes, *context: bytes
) -> list[str]:
    """Decrypts tokens. Raises DecryptionFailed."""
    try:
        associated = length_prefixed(kind.value, *context)
        plaintext = _cipher(kind, key, salt).decrypt(_NONCE, sealed, associated)
    except (InvalidTag, ValueError):
        # ValueError: too short for a tag. Nothing of ours is.
        raise DecryptionFailed from None
    tokens, at = [], 0
    while at < len(plaintext):
        start = at + _SIZE
        at = start + int.from_bytes(plaintext[at:start])
        tokens.append(plaintext[start:at].decode())
    return tokens


def _cipher(kind: TokenList, key: MacKey, salt: bytes) -> AESGCM:
    return AESGCM(key.mac(length_prefixed(kind.value + b"-key", salt)))
