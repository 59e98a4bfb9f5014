"""Comparing the records that are gone with what a pruning declared: no more may be missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import UUID

from vault.audit.chain import FindingKind
from vault.audit.checkpoint import CheckpointLog
from vault.audit.log_check import LoggedMac
from vault.audit.pruning.declaration import is_prunable, is_pruning, read_pruning
from vault.audit.pruning.stored import Retained
from vault.audit.record import Record
from vault.service.audit import Finding

__all__ = ["PruningCheck"]


class PruningCheck:
    """Judges records beside a verification: first the log's entries pass, then the records.

    Attributes:
        sums: what all records add up to, those that are gone included.
    """

    def __init__(self, retained: Retained) -> None:
        self._retained = retained
        self._position = retained.position
        self._through: dict[UUID, int] = {}
        self._kept = 0
        self._newest = 0
        self.sums = retained.sums

    @property
    def log(self) -> CheckpointLog | None:
        """The log as the pruning says that it was."""
        pruning = self._retained.pruning
        return CheckpointLog(pruning.position, pruning.root) if pruning is not None else None

    def through(self, writer: UUID) -> int:
        """Returns up to which number a writer's records may be gone. Openings never are."""
        return self._through.get(writer, 0)

    def note(self, entries: Iterable[LoggedMac]) -> Iterator[LoggedMac]:
        """Passes the log's entries on, by position, and notes whose records may be gone."""
        for logged in entries:
            if logged.entry.position <= self._position:
                self._through[logged.entry.writer] = logged.entry.number
            yield logged

    def inspect(self, records: Iterable[Record]) -> Iterator[Record]:
        """Passes records on, adds up what they say, and counts those that must have stayed."""
        for record in records:
            if record.number > self.through(record.writer):
                self.sums.add(record.body)
            elif not is_prunable(record.body):
                self._kept += 1
            if is_pruning(record.body):
                self._note_declared(record.body)
            yield record

    def findings(self) -> list[Finding]:
        """Returns what was found, once all records have passed."""
        found = list(self._retained.findings)
        pruning = self._retained.pruning
        if pruning is not None and self._kept < pruning.kept:
            what = (
                f"{pruning.kept - self._kept:,} records up to position {pruning.position} are"
                " missing that no pruning drops: openings, policies, erasures, alarms or prunings"
            )
            found.append(Finding("", 0, FindingKind.DELETED.value, what))
        if self._newest > self._position:
            what = f"the row of the pruning up to position {self._newest} is gone"
            found.append(Finding("", 0, FindingKind.DELETED.value, what))
        return found

    def _note_declared(self, body: str) -> None:
        try:
            declared = read_pruning(body)
        except ValueError:
            return  # the check of its chain says what is wrong with it
        if declared is not None:
            self._newest = max(self._newest, declared.position)
