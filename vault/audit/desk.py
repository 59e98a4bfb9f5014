"""What auditors get of the audit: the port of the use cases, over its reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from vault.audit.chain import KeyOf, Kind
from vault.audit.checkpoint import Checkpoint
from vault.audit.reading import LogPage, PostgresAuditReader
from vault.audit.verify import MAX_FINDINGS
from vault.crypto.field_key import MacKey
from vault.errors import ConfigError, InvalidRequest
from vault.service.oversight import AuditPage, AuditReport, Finding, GlobalRecord, SealedCheckpoint

__all__ = ["AuditDesk"]


class AuditDesk:
    """The AuditReader of the use cases."""

    def __init__(
        self,
        reader: PostgresAuditReader,
        key: Callable[[], MacKey],
        key_of: KeyOf,
        lost_keys: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Takes where the active audit key is, and that of a version.

        Args:
            lost_keys: tells which data keys are not stored as they must be. An audit whose
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
        lost = [Finding("", 0, Kind.KEY_LOST.value, text) for text in self._lost_keys()]
        return replace(report, findings=[*lost, *report.findings][:MAX_FINDINGS])

    def tail(self, position: int, limit: int) -> AuditPage:
        """Returns records from a position on; from 0, the last ``limit``."""
        page = self._reader.page(position, limit)
        records = list(_without_gaps(page, limit))
        following = records[-1].position + 1 if records else page.first
        return AuditPage(records, following, page.lag, page.findings)

    def checkpoint(self) -> SealedCheckpoint:
        """Returns the heads and the log's root under a MAC, no text for an empty audit."""
        made, findings = self._reader.checkpoint()
        if made is None:
            return SealedCheckpoint("", None, findings)
        return SealedCheckpoint(made.to_json(self._key()), made.time, findings)

    def _read(self, text: str) -> Checkpoint | None:
        try:
            return Checkpoint.from_json(text, self._key_of)
        except ConfigError:
            return None


def _without_gaps(page: LogPage, limit: int) -> Iterator[GlobalRecord]:
    """Yields a record for every position; one that is missing in the log is empty."""
    position = page.first
    for logged in page.records:
        entry = logged.entry
        while position < entry.position:
            yield GlobalRecord(position, "", 0, "")
            position += 1
            if position - page.first >= limit:
                return
        body = logged.record.body if logged.record else ""
        yield GlobalRecord(position, str(entry.writer), entry.number, body)
        position += 1
        if position - page.first >= limit:
            return
    # Positions that this server knows were given, and the database no longer has.
    for missing in range(position, min(page.seen + 1, page.first + limit)):
        yield GlobalRecord(missing, "", 0, "")
