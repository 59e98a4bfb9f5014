"""Key check values: they identify a data key and reveal nothing of it."""

from __future__ import annotations

from vault.crypto.encoding import u32, utf8
from vault.crypto.kdf import Label, expand
from vault.crypto.secret import check_root

__all__ = ["key_check_value"]


def key_check_value(root: bytes, tenant: str, field: str, purpose: str, version: int) -> bytes:
    """Returns 32 bytes that stand for a root at its place, and may be stored in the clear.

    They are derived as a sub-key is, under a label of their own, so they reveal nothing of the
    root or of its sub-keys. Raises ValueError for a root that is not 32 bytes.
    """
    check_root(root)
    return bytes(
        expand(root, Label.KEY_CHECK, utf8(tenant), utf8(field), utf8(purpose), u32(version))
    )
