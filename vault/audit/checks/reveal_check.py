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
from vault.audit.checks.record_sums import RecordSums
from vault.crypto.key_versions import verifies_under
from vault.service.audit import Finding
from vault.service.ports import RevealPartRow, RevealRow
from vault.service.reveal.rows import is_genuine, spent_in, spent_of

__all__ = ["RevealCheck"]

_Row: TypeAlias = tuple[str, UUID, str, str, str, datetime, str, int, bytes, bool]
_Part: TypeAlias = tuple[str, UUID, int, bytes, bytes, int, bytes]

_MAX_FINDINGS = 1000
_ROWS = text(
    "SELECT tenant, id, field, principal, state, ends, document, key_version, mac, awaits_review"
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
        self._in_parts: Counter[str] = Counter()
        self._forged: set[str] = set()

    def findings(self, sums: RecordSums) -> list[Finding]:
        """Compares the reveals with what all records add up to."""
        missing = set(sums.shown)
        found = [*self._of_parts(), *self._of_rows(sums, missing)]
        found += [_finding(FindingKind.ROLLED_BACK, each, "is gone") for each in sorted(missing)]
        return found[:_MAX_FINDINGS]

    def _of_rows(self, sums: RecordSums, missing: set[str]) -> Iterator[Finding]:
        for columns in self._connection.execute(_ROWS, execution_options={"yield_per": 1000}):
            row = RevealRow(*cast(_Row, tuple(columns)))
            name = str(row.id)
            missing.discard(name)
            charged, ended = sums.shown.get(name, 0), sums.ended.get(name, row.state)
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
            elif row.awaits_review and name in sums.reviewed:
                what = "awaits a review that was written: it was put back"
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
        return verifies_under(self._key_of, row.key_version, lambda key: is_genuine(key, row))


def _finding(kind: FindingKind, reveal: str, what: str) -> Finding:
    return Finding("", 0, kind.value, f"the reveal {reveal} {what}")
