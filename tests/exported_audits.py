"""Audits of invented records, and their exports as the service's commands write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from vault.audit.checkpoint import Checkpoint, CheckpointLog
from vault.audit.export.lines import ExportHeader, ExportLine, with_tiles
from vault.audit.log import LogEntry, make_entries
from vault.audit.merkle import EMPTY, Tree
from vault.audit.pruning.declaration import Pruning, pruning_body
from vault.audit.record import NO_MAC, Record, event_body, make_record
from vault.audit.tlog.note import NoteKey
from vault.crypto.field_key import MacKey
from vault.model import AuditEvent

__all__ = ["KEY", "NOW", "ORIGIN", "VKEY", "ExportedAudit"]

KEY = MacKey(1, b"1" * 32)
ORIGIN = "tokenvault/0123456789abcdef0123456789abcdef"
VKEY = NoteKey(ORIGIN, KEY.signing.public)
NOW = datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC)
WRITER = UUID(int=7)


def _records(count: int, prunings: Mapping[int, int]) -> list[Record]:
    records: list[Record] = []
    for number in range(1, count + 1):
        event = AuditEvent("Detokenize", "allowed", "p", "peer", "0a", f"{number:032x}", "d")
        body_at = partial(event_body, event)
        if number in prunings:
            pruning = Pruning(prunings[number], NOW, 1, 1, bytes(32), "", "o")
            body_at = partial(pruning_body, pruning)
        body = body_at(server="s", writer=WRITER, number=number, now=NOW)
        previous = records[-1].mac if records else NO_MAC
        records.append(make_record(KEY, WRITER, number, previous, body))
    return records


@dataclass(frozen=True)
class ExportedAudit:
    """An audit of some records; the first ``older`` have leaves of version 1."""

    records: Sequence[Record]
    entries: Sequence[LogEntry]

    @classmethod
    def of(
        cls, count: int, older: int = 0, prunings: Mapping[int, int] | None = None
    ) -> ExportedAudit:
        """Makes one. ``prunings`` has the positions whose records are one, and what up to."""
        records = _records(count, prunings or {})
        entries = make_entries(1, records)
        for at, entry in enumerate(entries[:older]):
            bare = replace(entry, body_digest=None)
            entries[at] = replace(bare, leaf=bare.leaf_at(entry.position))
        return cls(records, entries)

    def tree(self, size: int) -> Tree:
        return EMPTY.grown(entry.leaf for entry in self.entries[:size])

    def checkpoint(self, size: int, key: MacKey = KEY, origin: str = ORIGIN) -> str:
        log = CheckpointLog(size, self.tree(size).root()) if size else None
        return Checkpoint(NOW, (), log, origin).sign(key)

    def lines(self, first: int = 1, size: int | None = None) -> list[ExportLine]:
        end = len(self.entries) if size is None else size
        bare = (
            ExportLine(entry.position, entry, record.body)
            for entry, record in zip(self.entries, self.records, strict=True)
            if first <= entry.position <= end
        )
        return list(with_tiles(first, bare))

    def header(self, first: int = 1, size: int | None = None) -> ExportHeader:
        end = len(self.entries) if size is None else size
        return ExportHeader(self.checkpoint(end), first, self.tree(first - 1).to_bytes())

    def export(self, first: int = 1, size: int | None = None) -> list[bytes]:
        lines = [self.header(first, size).to_line()]
        lines += [line.to_line() for line in self.lines(first, size)]
        return [line.encode() for line in lines]
