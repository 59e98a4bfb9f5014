"""Comparing reveals with their MACs, and with what the audit says was charged and decided.

A MAC shows a row that was written by hand. One that was genuine once and was put back, or
removed, has shown less than the records of the calls that it was charged for, or is open again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TypeAlias, cast
from uuid import UUID

from sqlalchemy import Connection, text

from vault.audit.chain import FindingKind, KeyOf
from vault.audit.json_text import read_json
from vault.audit.record import Record
from vault.errors import DecryptionFailed
from vault.service.audit import Finding
from vault.service.ports import RevealPartRow, RevealRow
from vault.service.reveal.grants import reveal_id
from vault.service.reveal.rows import is_genuine, spent_in, spent_of

__all__ = ["RevealCheck"]

_Row: TypeAlias = tuple[str, UUID, str, str, str, datetime, str, int, bytes]
_Part: TypeAlias = tuple[str, UUID, int, bytes, bytes, int, bytes]

_MAX_FINDINGS = 1000
# What the body of a record of a reveal has: the id of none is empty.
_MARK = '"grant":"'
_NONE = '"grant":""'
_ENDS = {"DenyReveal": "denied", "WithdrawReveal": "withdrawn", "RevokeReveal": "revoked"}
_ROWS = text(
    "SELECT tenant, id, field, principal, state, ends, document, key_version, mac"
    " FROM reveals ORDER BY tenant, id"
)
_PARTS = text(
    "SELECT tenant, id, part, digests, spent, key_version, mac FROM reveal_tokens"
    " ORDER BY tenant, id, part"
)


class RevealCheck:
    """Checks the reveals beside a verification; in memory is a number for each.

    Raises what the driver raises, KeysUnavailable.
    """

    def __init__(self, connection: Connection, key_of: KeyOf) -> None:
        self._connection = connection
        self._key_of = key_of
        self._charged: Counter[str] = Counter()
        self._ended: dict[str, str] = {}
        self._known: set[str] = set()
        self._in_parts: Counter[str] = Counter()
        self._forged: set[str] = set()

    def inspect(self, records: Iterator[Record]) -> Iterator[Record]:
        """Passes records on, and notes what each says of a reveal."""
        for record in records:
            if _MARK in record.body and _NONE not in record.body:
                self._note(record.body)
            yield record

    def findings(self) -> list[Finding]:
        """Returns what was found, once all records have passed."""
        found = [*self._of_parts(), *self._of_rows()]
        found += [
            _finding(FindingKind.ROLLED_BACK, each, "is gone") for each in sorted(self._known)
        ]
        return found[:_MAX_FINDINGS]

    def _of_rows(self) -> Iterator[Finding]:
        for columns in self._connection.execute(_ROWS, execution_options={"yield_per": 1000}):
            row = RevealRow(*cast(_Row, tuple(columns)))
            name = str(row.id)
            self._known.discard(name)
            charged, ended = self._charged[name], self._ended.get(name, row.state)
            if not self._genuine(row):
                yield _finding(FindingKind.FORGED_ROW, name, "was not written by a server")
            elif spent_of(row) < charged:
                what = f"has shown {spent_of(row):,} tokens, and records {charged:,}"
                yield _finding(FindingKind.ROLLED_BACK, name, f"{what}: it was put back")
            elif name not in self._forged and spent_of(row) != self._in_parts[name]:
                what = (
                    "has other tokens than when it was last used: they were put back, or are gone"
                )
                yield _finding(FindingKind.ROLLED_BACK, name, what)
            elif row.state != ended:
                what = f"is {row.state}, and was {ended}: it was put back"
                yield _finding(FindingKind.ROLLED_BACK, name, what)

    def _of_parts(self) -> Iterator[Finding]:
        for columns in self._connection.execute(_PARTS, execution_options={"yield_per": 1000}):
            part = RevealPartRow(*cast(_Part, tuple(columns)))
            name = str(part.id)
            if self._genuine(part):
                self._in_parts[name] += spent_in(part)
            elif name not in self._forged:
                self._forged.add(name)
                what = "has tokens that were not written by a server"
                yield _finding(FindingKind.FORGED_ROW, name, what)

    def _genuine(self, row: RevealRow | RevealPartRow) -> bool:
        try:
            return is_genuine(self._key_of(row.key_version), row)
        except DecryptionFailed:
            return False

    def _note(self, body: str) -> None:
        try:
            document = read_json(body)
        except ValueError:
            return  # the check of its chain says what is wrong with it
        match document:
            case {
                "outcome": "allowed",
                "rpc": str(rpc),
                "grant": str(grant),
                **others,
            } if reveal_id(grant):
                self._known.add(grant)
                charged = others.get("charged", 0)
                self._charged[grant] += charged if isinstance(charged, int) else 0
                if rpc in _ENDS:
                    self._ended[grant] = _ENDS[rpc]


def _finding(kind: FindingKind, reveal: str, what: str) -> Finding:
    return Finding("", 0, kind.value, f"the reveal {reveal} {what}")
