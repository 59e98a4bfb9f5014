"""Freezes as rows: written under a MAC, and believed only where that is ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from vault.crypto.field_key import MacKey
from vault.crypto.key_versions import verifies_under
from vault.crypto.row_mac import Cell
from vault.model import FreezeTarget
from vault.service.freezes.model import Freeze
from vault.service.ports import FreezeRow, KeySource

__all__ = ["TABLE", "FreezeRows", "is_genuine"]

TABLE = "freezes"
_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class FreezeRows:
    """Writes and reads the rows of freezes under the audit key's MAC key."""

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys

    def written(self, freeze: Freeze) -> FreezeRow:
        """Returns a freeze's row."""
        key = self._keys.audit_key(freeze.tenant)
        document = {
            "v": _VERSION,
            "by": freeze.by,
            "reason": freeze.reason,
            "recent": [(each - _EPOCH) // _MICROSECOND for each in freeze.recent],
        }
        bare = FreezeRow(
            freeze.tenant,
            freeze.target.kind,
            freeze.target.name,
            freeze.frozen,
            freeze.changed,
            freeze.touched,
            json.dumps(document, sort_keys=True, separators=(",", ":")),
            key.version,
            b"",
        )
        return replace(bare, mac=key.rows.mac(TABLE, _cells(bare)))

    def read(self, row: FreezeRow) -> Freeze | None:
        """Reads a row; None where no server of ours wrote it. May raise KeysUnavailable."""
        key_of = partial(self._keys.audit_key, row.tenant)
        genuine = verifies_under(key_of, row.key_version, lambda key: is_genuine(key, row))
        return _freeze(row) if genuine else None


def is_genuine(key: MacKey, row: FreezeRow) -> bool:
    """Returns whether a row is as a server of ours wrote it."""
    return key.rows.verify(TABLE, _cells(row), row.mac)


def _cells(row: FreezeRow) -> Sequence[Cell]:
    return (row.tenant, row.kind, row.name, row.frozen, row.changed, row.touched, row.document)


def _freeze(row: FreezeRow) -> Freeze:
    """Reads a row whose MAC is ours: what is in it, we wrote."""
    content = json.loads(row.document)
    return Freeze(
        row.tenant,
        FreezeTarget(row.kind, row.name),
        row.frozen,
        row.changed,
        content["by"],
        content["reason"],
        row.touched,
        tuple(_EPOCH + each * _MICROSECOND for each in content["recent"]),
    )
