"""Opening stored rows: one way, for whoever reads a value or checks whose a token is."""

from __future__ import annotations

from vault.errors import Reason
from vault.model import Failure, StoredToken, TokenSpace
from vault.service.ports import KeySource

__all__ = ["UNOPENED", "open_row"]

# One failure, word for word, for every ciphertext that does not open.
UNOPENED = Failure(Reason.DECRYPTION_FAILED, "decryption failed")


def open_row(keys: KeySource, space: TokenSpace, row: StoredToken) -> bytes:
    """Returns the value core behind a live row, as UTF-8. Raises DecryptionFailed."""
    key = keys.version(space, row.key_version)
    return key.open(row.ciphertext, scope=row.scope.value, token=row.token)
