"""Checking what names the version of the audit key that it was made under."""

from __future__ import annotations

from collections.abc import Callable

from vault.crypto.field_key import MacKey
from vault.errors import DecryptionFailed

__all__ = ["verifies_under"]


def verifies_under(
    key_of: Callable[[int], MacKey], version: int, verifies: Callable[[MacKey], bool]
) -> bool:
    """Returns whether something is genuine: what names a version that never was is not.

    Args:
        key_of: returns the key of a version. Raises DecryptionFailed where there never was one.
        verifies: checks it under that key.

    Raises what else ``key_of`` raises, such as KeysUnavailable.
    """
    try:
        key = key_of(version)
    except DecryptionFailed:
        return False
    return verifies(key)
