"""Sub-keys: HKDF-SHA-256 (RFC 5869), one label for each purpose.

Root keys are 32 uniformly random bytes, so only the expand step is used (RFC 5869
section 3.3). Tenant, field and version are in the input besides the label: two keys
differ even where one root were used twice by mistake.
"""

from __future__ import annotations

from enum import Enum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from vault.crypto.encoding import length_prefixed, u32, utf8
from vault.crypto.secret import KeyBytes

__all__ = ["KEY_LENGTH", "Label", "expand", "sub_key"]

KEY_LENGTH = 32


class Label(Enum):
    """What a sub-key is for. The bytes are final: they are in every key in use."""

    FF1 = b"tokenvault/v1/ff1"
    FF3_1 = b"tokenvault/v1/ff3-1"
    FF3_1_TWEAK = b"tokenvault/v1/ff3-1-tweak"
    FF3_1_TWEAK_AND_LENGTH = b"tokenvault/v2/ff3-1-tweak"
    TWEAK = b"tokenvault/v1/tweak"
    ROW = b"tokenvault/v1/row"
    MESSAGE = b"tokenvault/v1/message"
    INDEX = b"tokenvault/v1/index"
    AUDIT = b"tokenvault/v1/audit"
    AUDIT_CHECKPOINT_KEY = b"tokenvault/v1/audit-checkpoint-key"
    KEY_CHECK = b"tokenvault/v1/key-check"
    ROW_MAC_KEY = b"tokenvault/v1/row-mac-key"


def expand(key: bytes | bytearray, label: Label, *parts: bytes) -> KeyBytes:
    """Derives 32 bytes from a uniformly random key, a label and length-prefixed parts."""
    info = length_prefixed(label.value, *parts)
    derived = KeyBytes(KEY_LENGTH)
    HKDFExpand(SHA256(), KEY_LENGTH, info).derive_into(key, derived)
    return derived


def sub_key(root: bytes, label: Label, tenant: str, field: str, version: int) -> KeyBytes:
    """Derives the 32-byte sub-key of one purpose from a root key."""
    return expand(root, label, utf8(tenant), utf8(field), u32(version))
