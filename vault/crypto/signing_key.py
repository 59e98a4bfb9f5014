"""Ed25519 signatures (RFC 8032) under a key that is derived from a root."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.crypto.encoding import u32
from vault.crypto.kdf import Label, expand
from vault.crypto.secret import Secret, check_root

__all__ = ["SigningKey"]


class SigningKey(Secret):
    """What one version of a tenant's audit key signs checkpoints and receipts with.

    Threads may share it.
    """

    __slots__ = ("_private", "_public")

    def __init__(self, version: int, root: bytes) -> None:
        """Takes a 32-byte root. Raises ValueError."""
        check_root(root)
        seed = expand(root, Label.AUDIT_CHECKPOINT_KEY, u32(version))
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key().public_bytes_raw()

    @property
    def public(self) -> bytes:
        """The public key's 32 bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Returns the signature's 64 bytes."""
        return self._private.sign(message)
