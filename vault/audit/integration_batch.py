"""Which of the writers' new records may get a position, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from vault.audit.chain import FindingKind, KeyOf, is_genuine_record
from vault.audit.json_text import read_json
from vault.audit.record import NO_MAC, Record
from vault.service.audit import Finding

__all__ = ["WriterBacklog", "merge_by_time", "time_of", "verified_prefix"]


@dataclass(frozen=True, slots=True)
class WriterBacklog:
    """A writer whose records are not all in the log.

    Attributes:
        head: number of its last record.
        integrated: number of its last record in the log, 0 for none.
        mac: that record's MAC.
    """

    writer: UUID
    head: int
    integrated: int = 0
    mac: bytes = NO_MAC

    @property
    def waiting(self) -> int:
        """How many records wait for a position."""
        return max(0, self.head - self.integrated)

    def after(self, records: Sequence[Record]) -> WriterBacklog:
        """Returns the writer as it is with those records in the log."""
        if not records:
            return self
        return WriterBacklog(self.writer, self.head, records[-1].number, records[-1].mac)


def verified_prefix(
    writer: WriterBacklog, records: Sequence[Record], key_of: KeyOf
) -> tuple[Sequence[Record], Finding | None]:
    """Returns a writer's next records up to the first that does not verify.

    Args:
        records: by number, from the first that is not in the log.

    Returns:
        Those that are good, and what is wrong with the next one. May raise KeysUnavailable.
    """
    if writer.head < writer.integrated:
        text = f"the head was put back to {writer.head}, the log has record {writer.integrated}"
        return (), _finding(writer, writer.head + 1, FindingKind.TRUNCATED, text)
    if writer.waiting and not records:
        return (), _missing(writer)
    good: list[Record] = []
    for record in records:
        finding = _wrong_with(record, writer, key_of)
        if finding is not None:
            return good, finding
        good.append(record)
        writer = writer.after([record])
    return good, None


def merge_by_time(records: Iterable[Record]) -> list[Record]:
    """Merges writers' records by their times; each writer's own order stays.

    Times are when transactions began, so a writer's may step back; such a record counts as
    of the time of the one before.
    """
    latest: dict[UUID, datetime] = {}

    def key(record: Record) -> tuple[datetime, bytes, int]:
        time = max(time_of(record.body) or _LONG_AGO, latest.get(record.writer, _LONG_AGO))
        latest[record.writer] = time
        return time, record.writer.bytes, record.number

    return sorted(records, key=key)


_LONG_AGO = datetime.fromisoformat("0001-01-01T00:00:00+00:00")


def time_of(body: str) -> datetime | None:
    """Reads a record's time, None where it has none that is readable."""
    try:
        match read_json(body):
            case {"time": str(text)}:
                time = datetime.fromisoformat(text)
                return time if time.tzinfo is not None else None
    except ValueError:
        pass
    return None


def _wrong_with(record: Record, writer: WriterBacklog, key_of: KeyOf) -> Finding | None:
    if record.number != writer.integrated + 1:
        return _missing(writer)
    if not is_genuine_record(key_of, record):
        text = "the record was edited"
    elif record.previous != writer.mac:
        text = "the record is of another history than the one before it"
    else:
        return None
    return _finding(writer, record.number, FindingKind.EDITED, text)


def _missing(writer: WriterBacklog) -> Finding:
    number = writer.integrated + 1
    return _finding(writer, number, FindingKind.DELETED, f"record {number} is missing")


def _finding(writer: WriterBacklog, number: int, kind: FindingKind, text: str) -> Finding:
    return Finding(str(writer.writer), number, kind.value, text)
