"""What the use cases ask of the audit: pages, searches, verification and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from vault.audit.chain import FindingKind, KeyOf
from vault.audit.checkpoint import Checkpoint, sign_log
from vault.audit.checkpoint_reading import read_checkpoint
from vault.audit.reading import LoggedRecord, LogPage, PostgresAuditReader
from vault.audit.verify import MAX_FINDINGS
from vault.crypto.field_key import MacKey
from vault.errors import ConfigError, InvalidRequest
from vault.service.audit import (
    AuditPage,
    AuditProof,
    AuditReport,
    AuditSearch,
    Finding,
    PositionedRecord,
    SignedCheckpoint,
)

__all__ = ["PostgresAuditQueries"]

_CHUNK = 1000  # records read from the log at once
_SEARCH_SECONDS = 2.0


class PostgresAuditQueries:
    """The AuditQueries of the use cases."""

    def __init__(
        self,
        reader: PostgresAuditReader,
        key: Callable[[], MacKey],
        key_of: KeyOf,
        lost_keys: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Takes what returns the active audit key, and that of a version.

        Args:
            lost_keys: returns which data keys are not stored as they must be. An audit whose
                keys are gone with the next restart is not in order.
        """
        self._reader = reader
        self._key = key
        self._key_of = key_of
        self._lost_keys = lost_keys

    def verify(self, checkpoint: str = "", *, deadline: float | None = None) -> AuditReport:
        """Verifies every record as of now."""
        earlier = None
        if checkpoint:
            # Outside of the except block: the error's context would quote the text.
            earlier = self._read(checkpoint)
            if earlier is None:
                raise InvalidRequest("that is no checkpoint of this audit, or it was changed")
        report = self._reader.verify(earlier, deadline=deadline)
        lost = [Finding("", 0, FindingKind.KEY_LOST.value, text) for text in self._lost_keys()]
        return replace(report, findings=[*lost, *report.findings][:MAX_FINDINGS])

    def tail(self, position: int, limit: int, *, peaks: bool = False) -> AuditPage:
        """Returns records from a position on; from 0, the last ``limit``."""
        page = self._reader.page(position, limit)
        records = list(_without_gaps(page, limit))
        following = records[-1].position + 1 if records else page.first
        before = self._reader.tree(position - 1).to_bytes() if peaks else b""
        return AuditPage(records, following, page.lag, page.findings, peaks=before)

    def search(self, search: AuditSearch, *, deadline: float | None = None) -> AuditPage:
        """Returns records that a filter wants, as far as its time reaches."""
        until = time.monotonic() + _SEARCH_SECONDS
        if deadline is not None:
            until = min(until, (time.monotonic() + deadline) / 2)
        start = self._reader.page(0, 1)
        if search.wanted.number:
            return self._one(search, start)
        if search.position:
            return self._upwards(search, start, until)
        return self._downwards(search, start, until)

    def _one(self, search: AuditSearch, start: LogPage) -> AuditPage:
        position = self._reader.position_of(search.wanted.writer, search.wanted.number)
        found: list[PositionedRecord] = []
        if position is not None:
            page = self._reader.page(position, 1, quick_check=False)
            found = [each for each in _without_gaps(page, 1) if _matches(search, each)]
        return AuditPage(found, start.seen + 1, start.lag, start.findings, 1, start.seen)

    def _upwards(self, search: AuditSearch, start: LogPage, until: float) -> AuditPage:
        found: list[PositionedRecord] = []
        end = min(start.seen, search.before - 1) if search.before else start.seen
        at = search.position
        while at <= end and time.monotonic() < until:
            many = min(_CHUNK, end - at + 1)
            page = self._reader.page(at, many, quick_check=False)
            found += _wanted(search, _without_gaps(page, many))
            at += many
            if len(found) >= search.limit:
                found = found[: search.limit]
                at = found[-1].position + 1
                break
        return AuditPage(found, at, start.lag, start.findings, search.position, start.seen)

    def _downwards(self, search: AuditSearch, start: LogPage, until: float) -> AuditPage:
        found: list[PositionedRecord] = []
        top = min(start.seen + 1, search.before) if search.before else start.seen + 1
        at = top
        while at > 1 and time.monotonic() < until:
            first = max(1, at - _CHUNK)
            page = self._reader.page(first, at - first, quick_check=False)
            found = [*_wanted(search, _without_gaps(page, at - first)), *found]
            at = first
            if len(found) >= search.limit:
                found = found[-search.limit :]
                at = found[0].position
                break
        return AuditPage(found, top, start.lag, start.findings, at, start.seen)

    def prove(self, position: int, old: int) -> AuditProof:
        """Returns proofs below a checkpoint without extension lines."""
        found = self._reader.prove(position, old)
        checkpoint = sign_log(found.log, found.origin, self._key())
        record = _positioned(found.record) if found.record is not None else None
        return AuditProof(str(checkpoint), record, found.inclusion, found.consistency)

    def checkpoint(self) -> SignedCheckpoint:
        """Returns the heads and the log's root, signed; no text for an empty audit."""
        made, findings = self._reader.checkpoint()
        if made is None:
            return SignedCheckpoint("", None, findings)
        return SignedCheckpoint(made.sign(self._key()), made.time, findings)

    def _read(self, text: str) -> Checkpoint | None:
        try:
            return read_checkpoint(text, self._key_of)
        except ConfigError:
            return None


def _wanted(search: AuditSearch, records: Iterable[PositionedRecord]) -> list[PositionedRecord]:
    # What was pruned cannot be judged, and nobody searches to be told of it.
    return [each for each in records if not each.pruned and _matches(search, each)]


def _matches(search: AuditSearch, record: PositionedRecord) -> bool:
    return search.wanted.matches(record.writer, record.number, record.body)


def _positioned(logged: LoggedRecord) -> PositionedRecord:
    entry = logged.entry
    return PositionedRecord(
        entry.position,
        str(entry.writer),
        entry.number,
        logged.record.body if logged.record else "",
        entry.mac,
        entry.body_digest or b"",
        entry.leaf,
        logged.pruned,
    )


def _without_gaps(page: LogPage, limit: int) -> Iterator[PositionedRecord]:
    """Yields a record for every position; one that is missing in the log is empty."""
    position = page.first
    for logged in page.records:
        entry = logged.entry
        while position < entry.position:
            yield PositionedRecord(position, "", 0, "")
            position += 1
            if position - page.first >= limit:
                return
        yield _positioned(logged)
        position += 1
        if position - page.first >= limit:
            return
    # Positions that this server knows were given, and the database no longer has.
    for missing in range(position, min(page.seen + 1, page.first + limit)):
        yield PositionedRecord(missing, "", 0, "")
