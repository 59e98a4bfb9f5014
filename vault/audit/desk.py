"""What auditors get of the audit: the port of the use cases, over its reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vault.audit.chain import KeyOf
from vault.audit.checkpoint import Checkpoint
from vault.audit.reading import LogPage, PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.errors import ConfigError, InvalidRequest
from vault.service.oversight import AuditPage, AuditReport, GlobalRecord, SealedCheckpoint

__all__ = ["AuditDesk"]


class AuditDesk:
    """The AuditReader of the use cases."""

    def __init__(
        self, reader: PostgresAuditReader, key: Callable[[], MacKey], key_of: KeyOf
    ) -> None:
        """Takes where the active audit key is, and that of a version."""
        self._reader = reader
        self._key = key
        self._key_of = key_of

    def verify(self, checkpoint: str = "", *, deadline: float | None = None) -> AuditReport:
        """Verifies every record as of now."""
        earlier = None
        if checkpoint:
            # Outside of the except block: the error's context would quote the text.
            earlier = self._read(checkpoint)
            if earlier is None:
                raise InvalidRequest("that is no checkpoint of this audit, or it was changed")
        return self._reader.verify(earlier, deadline=deadline)

    def tail(self, position: int, limit: int) -> AuditPage:
        """Returns records from a position on; from 0, the last ``limit``."""
        page = self._reader.page(position, limit)
        records = list(_without_gaps(page, limit))
        following = records[-1].position + 1 if records else page.first
        return AuditPage(records, following, page.lag)

    def checkpoint(self) -> SealedCheckpoint | None:
        """Returns the heads and the log's root under a MAC, None for an empty audit."""
        made = self._reader.checkpoint()
        return SealedCheckpoint(made.to_json(self._key()), made.time) if made else None

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
