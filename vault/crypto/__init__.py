"""Ciphers, key derivation, authenticated encryption and the blind index. No I/O, no logging."""

from vault.crypto.alphabet import Alphabet
from vault.crypto.field_key import (
    FieldKey,
    IndexKey,
    MacKey,
    TweakInput,
    data_key_context,
    key_version_of,
)
from vault.crypto.fpe.ff1 import FF1
from vault.crypto.fpe.ff3_1 import FF3_1

__all__ = [
    "FF1",
    "FF3_1",
    "Alphabet",
    "FieldKey",
    "IndexKey",
    "MacKey",
    "TweakInput",
    "data_key_context",
    "key_version_of",
]
