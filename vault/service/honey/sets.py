"""Sets of honey tokens as rows: their tokens sealed, the whole under a MAC.

Who reads the database sees how many sets there are and about how many tokens they have, and
nothing by which a token could be found in them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from secrets import token_bytes
from uuid import UUID

from vault.crypto.field_key import MacKey
from vault.crypto.row_mac import Cell
from vault.crypto.token_list_seal import SALT_LENGTH, TokenList, open_tokens, seal_tokens
from vault.errors import DecryptionFailed
from vault.service.ports import HoneyRow, KeySource

__all__ = ["TABLE", "HoneyRows", "HoneySet", "is_genuine"]

TABLE = "honey_tokens"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class HoneySet:
    """Honey tokens of one field that were declared together.

    Attributes:
        label: what alerts call them.
        principal: who declared them.
        active: whether they are honey still.
    """

    tenant: str
    id: UUID
    field: str
    label: str
    principal: str
    created: datetime
    tokens: frozenset[str] = dataclass_field(repr=False)
    active: bool = True


class HoneyRows:
    """Writes and reads the rows of sets under the audit key."""

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys

    def written(self, made: HoneySet) -> HoneyRow:
        """Returns a set's row, sealed anew."""
        key = self._keys.audit_key(made.tenant)
        document = {
            "v": _VERSION,
            "label": made.label,
            "principal": made.principal,
            "created": made.created.astimezone(UTC).isoformat(timespec="microseconds"),
            "tokens": len(made.tokens),
        }
        salt = token_bytes(SALT_LENGTH)
        context = _context(made.tenant, made.id, made.field)
        bare = HoneyRow(
            made.tenant,
            made.id,
            made.field,
            made.active,
            json.dumps(document, sort_keys=True, separators=(",", ":")),
            salt,
            seal_tokens(TokenList.HONEY, key, salt, sorted(made.tokens), *context),
            key.version,
            b"",
        )
        return replace(bare, mac=key.rows.mac(TABLE, _cells(bare)))

    def read(self, row: HoneyRow) -> HoneySet | None:
        """Reads a row; None where no server of ours wrote it. May raise KeysUnavailable."""
        try:
            key = self._keys.audit_key(row.tenant, row.key_version)
            if not is_genuine(key, row):
                return None
            context = _context(row.tenant, row.id, row.field)
            tokens = open_tokens(TokenList.HONEY, key, row.salt, row.sealed, *context)
        except DecryptionFailed:
            return None
        content = json.loads(row.document)
        return HoneySet(
            row.tenant,
            row.id,
            row.field,
            content["label"],
            content["principal"],
            datetime.fromisoformat(content["created"]),
            frozenset(tokens),
            row.active,
        )


def is_genuine(key: MacKey, row: HoneyRow) -> bool:
    """Returns whether a row is as a server of ours wrote it."""
    return key.rows.verify(TABLE, _cells(row), row.mac)


def _cells(row: HoneyRow) -> Sequence[Cell]:
    return (row.tenant, row.id, row.field, row.active, row.document, row.salt, row.sealed)


def _context(tenant: str, set_id: UUID, field: str) -> tuple[bytes, ...]:
    return (tenant.encode(), set_id.bytes, field.encode())
