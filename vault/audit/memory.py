"""What a running server knows of the audit itself, and what of it the database lacks.

The database's owner can hide rows from whoever reads the audit, or put them back to an
older state. A process remembers the last record that it committed to each of its chains,
and the log as its integrator last saw it: that must be in whatever the database answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from sqlalchemy import Connection, text

from vault.audit.chain import FindingKind
from vault.audit.chain_heads import ChainHead
from vault.audit.checkpoint import CheckpointLog
from vault.service.audit import Finding

__all__ = ["NOTHING_REMEMBERED", "AuditMemory", "RememberedAudit", "find_missing", "has_log"]


@dataclass(frozen=True, slots=True)
class RememberedAudit:
    """What a process knows at one time.

    Attributes:
        chains: its own writers, each with the last record that it committed.
        log: the log as its integrator last saw or made it; None where it saw none.
    """

    chains: Sequence[ChainHead] = ()
    log: CheckpointLog | None = None


NOTHING_REMEMBERED = RememberedAudit()
AuditMemory = Callable[[], RememberedAudit]
"""Called before the audit is read: what it returns is committed, so the reader must find it."""

_CHAINS = text("""
SELECT u.writer, w.writer IS NOT NULL, h.number, r.mac
FROM unnest(CAST(:writers AS uuid[]), CAST(:numbers AS bigint[])) AS u (writer, number)
LEFT JOIN audit_writers w ON w.writer = u.writer
LEFT JOIN audit_heads h ON h.writer = u.writer
LEFT JOIN audit_records r ON r.writer = u.writer AND r.number = u.number
""")
_LOG = text("""
SELECT (SELECT coalesce(max(position), 0) FROM audit_log),
       (SELECT root FROM audit_roots WHERE size = :size)
""")
_Chain = tuple[UUID, bool, int | None, bytes | None]


def find_missing(connection: Connection, remembered: RememberedAudit) -> list[Finding]:
    """Compares the ends of chains and log only; ``verify`` compares all that lies before."""
    found: list[Finding] = []
    if remembered.chains:
        parameters = {
            "writers": [chain.writer for chain in remembered.chains],
            "numbers": [chain.number for chain in remembered.chains],
        }
        known = {chain.writer: chain for chain in remembered.chains}
        for row in connection.execute(_CHAINS, parameters):
            found += _chain_findings(known[row[0]], cast("_Chain", tuple(row)))
    if remembered.log is not None:
        last, root = connection.execute(_LOG, {"size": remembered.log.size}).one()
        found += _log_findings(remembered.log, last, root)
    return found


def has_log(connection: Connection, log: CheckpointLog) -> bool:
    """Returns whether the log in the database begins with what somebody saw of it."""
    last, root = connection.execute(_LOG, {"size": log.size}).one()
    return not any(_log_findings(log, last, root))


def _chain_findings(chain: ChainHead, row: _Chain) -> Iterator[Finding]:
    _, listed, head, mac = row
    writer, number = str(chain.writer), chain.number
    if not listed:
        message = "this server's writer is missing from the list of writers"
        yield Finding(writer, 0, FindingKind.UNKNOWN_WRITER.value, message)
    if mac is None:
        message = f"record {number}, which this server wrote, is missing"
        yield Finding(writer, number, FindingKind.TRUNCATED.value, message)
    elif mac != chain.mac:
        message = f"record {number} is not the one that this server wrote"
        yield Finding(writer, number, FindingKind.EDITED.value, message)
    if head is None:
        message = "the head of this server's writer is missing"
        yield Finding(writer, 0, FindingKind.DELETED.value, message)
    elif head < number:
        message = f"the head was put back to {head}; this server wrote record {number}"
        yield Finding(writer, head, FindingKind.EDITED.value, message)


def _log_findings(log: CheckpointLog, last: int, root: bytes | None) -> Iterator[Finding]:
    if last < log.size:
        message = f"the log ends at position {last}; this server saw it with {log.size}"
        yield Finding("", 0, FindingKind.TRUNCATED.value, message)
    elif root != log.root:
        message = f"the log's first {log.size} entries are not those that this server saw"
        yield Finding("", 0, FindingKind.EDITED.value, message)
