"""The record by which an operator's pruning declares which records are gone.

A record that is missing is believed to be pruned only up to a position that such a record
names: it is under the audit key's MAC, which the database's owner does not have. What stays
for good is counted in it, so that nothing more is lost under its cover.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from vault.audit.json_text import read_count, read_json
from vault.audit.record import canonical_json, common_entries
from vault.service.honey import alarm

__all__ = [
    "CALL",
    "NOTHING_TOUCHED",
    "STAYING",
    "Pruning",
    "is_prunable",
    "is_pruning",
    "pruning_body",
    "read_pruning",
]

_KIND = "pruned"
_PRINCIPAL = "tokenvault:prune"
# What a body has, byte by byte. Quotes in what a caller says are escaped, so it cannot have these.
CALL = '"kind":"call"'
# What rows are compared with one by one: those stay. (What is added up is in ``RecordSums``.)
STAYING = ('"erasure":"', '"freeze":{', '"honey_set":"', '"touched":"')
# Where a field has honey tokens each call says what it touched: nothing, mostly.
NOTHING_TOUCHED = f'"touched":"{alarm.NOTHING_TOUCHED}"'
_PRUNING = f'"kind":"{_KIND}"'


@dataclass(frozen=True, slots=True)
class Pruning:
    """What a pruning declares.

    Attributes:
        position: prunable records up to it may be gone.
        before: every record up to there is of before that time.
        records: how many this pruning is of.
        kept: how many records up to the position stay for good.
        root: the log's root over so many entries.
        sums: SHA-256, in hexadecimal, of what all records up to the position add up to.
        operator: who ran it, as the machine says.
    """

    position: int
    before: datetime
    records: int
    kept: int
    root: bytes
    sums: str
    operator: str


def is_prunable(body: str) -> bool:
    """Returns whether a record goes: openings, policies, erasures and alarms still decide."""
    if CALL not in body:
        return False
    said = body.replace(NOTHING_TOUCHED, "")
    return not any(mark in said for mark in STAYING)


def is_pruning(body: str) -> bool:
    """Returns whether a record is that of a pruning."""
    return _PRUNING in body


def pruning_body(pruning: Pruning, *, server: str, writer: UUID, number: int, now: datetime) -> str:
    """Writes the body of the record of a pruning."""
    return canonical_json(
        {
            **common_entries(_KIND, server, writer, number, now),
            "principal": _PRINCIPAL,
            "operator": pruning.operator,
            "position": pruning.position,
            "before": pruning.before.astimezone(UTC).isoformat(timespec="seconds"),
            "records": pruning.records,
            "kept": pruning.kept,
            "root": pruning.root.hex(),
            "sums": pruning.sums,
        }
    )


def read_pruning(body: str) -> Pruning | None:
    """Reads the body of a record, None where it is not that of a pruning. Raises ValueError."""
    if not is_pruning(body):
        return None
    match read_json(body):
        case {
            "kind": "pruned",
            "position": position,
            "before": str(before),
            "records": records,
            "kept": kept,
            "root": str(root),
            "sums": str(sums),
            "operator": str(operator),
        }:
            return Pruning(
                read_count(position, least=1),
                datetime.fromisoformat(before),
                read_count(records),
                read_count(kept),
                bytes.fromhex(root),
                sums,
                operator,
            )
    return None
