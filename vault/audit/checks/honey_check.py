"""Comparing sets of honey tokens with their MACs, and with what the audit says of them.

A MAC shows a row that was written by hand. One that is gone has a record of the call that
declared it; one that was put back, of the call that retired it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast
from uuid import UUID

from sqlalchemy import Connection, text

from vault.audit.chain import FindingKind, KeyOf
from vault.audit.json_text import read_json
from vault.audit.record import Record
from vault.crypto.key_versions import verifies_under
from vault.service.audit import Finding
from vault.service.honey.sets import is_genuine
from vault.service.ports import HoneyRow
from vault.uuids import read_uuid

__all__ = ["HoneyCheck"]

_MAX_FINDINGS = 1000
# What the body of a record of a change has.
_MARK = '"honey_set":"'
_ROWS = text(
    "SELECT tenant, id, field, active, document, salt, sealed, key_version, mac"
    " FROM honey_tokens ORDER BY tenant, id"
)


class HoneyCheck:
    """Checks the sets beside a verification; in memory is the id of each.

    Raises what the driver raises, KeysUnavailable.
    """

    def __init__(self, connection: Connection, key_of: KeyOf) -> None:
        self._connection = connection
        self._key_of = key_of
        self._known: set[str] = set()
        self._retired: set[str] = set()

    def inspect(self, records: Iterator[Record]) -> Iterator[Record]:
        """Passes records on, and notes what each says of a set."""
        for record in records:
            if _MARK in record.body:
                self._note(record.body)
            yield record

    def findings(self) -> list[Finding]:
        """Returns what was found, once all records have passed."""
        found: list[Finding] = []
        for columns in self._connection.execute(_ROWS, execution_options={"yield_per": 100}):
            row = HoneyRow(
                *cast("tuple[str, UUID, str, bool, str, bytes, bytes, int, bytes]", tuple(columns))
            )
            name = str(row.id)
            self._known.discard(name)
            if not self._genuine(row):
                found.append(_finding(FindingKind.FORGED_ROW, name, "was not written by a server"))
            elif row.active and name in self._retired:
                what = "is active, and was retired: it was put back"
                found.append(_finding(FindingKind.ROLLED_BACK, name, what))
        found += [
            _finding(FindingKind.ROLLED_BACK, each, "is gone") for each in sorted(self._known)
        ]
        return found[:_MAX_FINDINGS]

    def _genuine(self, row: HoneyRow) -> bool:
        return verifies_under(self._key_of, row.key_version, lambda key: is_genuine(key, row))

    def _note(self, body: str) -> None:
        try:
            document = read_json(body)
        except ValueError:
            return  # the check of its chain says what is wrong with it
        match document:
            case {"outcome": "allowed", "rpc": str(rpc), "honey_set": str(name)} if read_uuid(name):
                self._known.add(name)
                if rpc == "RetireHoneyTokens":
                    self._retired.add(name)


def _finding(kind: FindingKind, name: str, what: str) -> Finding:
    return Finding("", 0, kind.value, f"the set of honey tokens {name} {what}")
