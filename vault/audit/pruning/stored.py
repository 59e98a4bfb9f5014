"""The prunings that were declared, as the database leads to them: the newest is in force."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from vault.audit.chain import FindingKind, KeyOf
from vault.audit.checks.record_sums import RecordSums
from vault.audit.pruning.declaration import Pruning, read_pruning
from vault.audit.record import Record
from vault.errors import DecryptionFailed
from vault.service.audit import Finding

__all__ = ["Retained", "pruned_through", "read_retained"]

_MOST = 100  # rows that are looked at: forged ones come first
_DECLARED = text("""
SELECT p.position, r.writer, r.number, r.key_version, r.previous, r.mac, r.body
FROM audit_prunings p LEFT JOIN LATERAL (
    SELECT writer, number, key_version, previous, mac, body FROM audit_records
    WHERE writer = p.writer AND number = p.number LIMIT 1
) r ON true
ORDER BY p.position DESC LIMIT :most
""")
_SUMS = text("SELECT sums FROM audit_prunings WHERE position = :position LIMIT 1")


@dataclass(frozen=True)
class Retained:
    """What the newest pruning left.

    Attributes:
        pruning: None where nothing was pruned.
        sums: what the records up to its position added up to.
        findings: rows of ``audit_prunings`` that are none of ours.
    """

    pruning: Pruning | None = None
    sums: RecordSums = field(default_factory=RecordSums)
    findings: list[Finding] = field(default_factory=list)

    @property
    def position(self) -> int:
        """The position up to which records may be gone."""
        return self.pruning.position if self.pruning is not None else 0


def pruned_through(connection: Connection, key_of: KeyOf) -> int:
    """Returns the position up to which records may be gone. May raise KeysUnavailable."""
    return _newest(connection, key_of).position


def read_retained(connection: Connection, key_of: KeyOf) -> Retained:
    """Reads the newest genuine pruning, and what it kept. May raise KeysUnavailable."""
    found = _newest(connection, key_of)
    if found.pruning is None:
        return found
    try:
        kept = connection.execute(_SUMS, {"position": found.position}).scalar_one()
        sums = RecordSums.from_text(kept)
        if sums.digest == found.pruning.sums:
            return Retained(found.pruning, sums, found.findings)
    except ValueError:
        pass
    what = f"the sums that the pruning up to position {found.position} kept were edited"
    return Retained(found.pruning, RecordSums(), [*found.findings, _forged(what)])


def _newest(connection: Connection, key_of: KeyOf) -> Retained:
    findings: list[Finding] = []
    for position, *columns in connection.execute(_DECLARED, {"most": _MOST}):
        record = Record(*columns) if columns[0] is not None else None
        pruning = _declared(record, key_of) if record is not None else None
        if pruning is not None and pruning.position == position:
            return Retained(pruning, findings=findings)
        what = f"no server declared a pruning up to position {position}"
        findings.append(_forged(what))
    return Retained(findings=findings)


def _declared(record: Record, key_of: KeyOf) -> Pruning | None:
    try:
        if record.verifies(key_of(record.key_version), record.writer, record.number):
            return read_pruning(record.body)
    except (DecryptionFailed, ValueError):
        pass  # the check of its chain says what is wrong with it
    return None


def _forged(what: str) -> Finding:
    return Finding("", 0, FindingKind.FORGED_ROW.value, what)
