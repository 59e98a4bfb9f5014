"""Making tombstones of locked tokens, and the record of it: what erasure and expiry share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from vault.errors import DecryptionFailed
from vault.model import AuditEvent, Scope, StoredToken, TokenSpace, TokenState
from vault.service.ports import IndexEntry, KeySource, TokenStore
from vault.service.results import token_set_message
from vault.service.stored_rows import open_row

__all__ = ["tombstone", "with_tokens"]


def tombstone(
    store: TokenStore,
    keys: KeySource,
    space: TokenSpace,
    state: TokenState,
    rows: Collection[StoredToken],
) -> None:
    """Makes tombstones of rows that this transaction has locked.

    An index row can be found only by the value, so each is opened once more, and its index
    under every version of the key goes too. A row that does not open becomes a tombstone all the
    same; an index row that leads to it leads nowhere, and is cleared away when its value
    is tokenized again.
    """
    entries = [entry for row in rows for entry in _index_entries(keys, space, row)]
    store.tombstone(space, state, [row.token for row in rows], entries)


def _index_entries(keys: KeySource, space: TokenSpace, row: StoredToken) -> Sequence[IndexEntry]:
    if row.scope is Scope.NONE or not row.ciphertext:
        return ()
    try:
        core = open_row(keys, space, row).decode()
    except DecryptionFailed:
        return ()
    scope = row.scope
    return [
        IndexEntry(row.token, scope, key.version, key.mac(scope.value, core))
        for key in keys.index_keys(space)
    ]


def with_tokens(
    event: AuditEvent, keys: KeySource, rows: Collection[StoredToken], tokens: Collection[str]
) -> AuditEvent:
    """Adds to a record which tokens were concerned, as a keyed digest, and their key versions."""
    return replace(
        event,
        key_versions=tuple(sorted({row.key_version for row in rows})),
        token_digest=keys.audit_key(event.tenant).mac(token_set_message(tokens)),
    )
