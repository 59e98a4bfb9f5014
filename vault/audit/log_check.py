"""Checks the log: its positions, leaves and roots, and the records that it names.

Every root is compared with the leaves below it, so that a change is found between two
roots. After a change checking goes on from the next genuine root, so that one changed
entry does not put everything after it under suspicion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from uuid import UUID

from vault.audit.chain import FindingKind, KeyOf
from vault.audit.checkpoint import CheckpointLog
from vault.audit.log import LogEntry, LogRoot
from vault.audit.merkle import EMPTY, Tree
from vault.service.audit import Finding

__all__ = ["KnownLog", "LogCheck", "LoggedMac"]

_MAX_HELD = 1000  # findings of a kind, and leaves held at once


@dataclass(frozen=True, slots=True)
class LoggedMac:
    """An entry of the log, and what it must have of the record that it names.

    Attributes:
        record_mac: the record's MAC, None where the record is gone.
        record_digest: SHA-256 of its body, None where the record is gone.
    """

    entry: LogEntry
    record_mac: bytes | None
    record_digest: bytes | None = None

    @property
    def replaced(self) -> bool:
        """Returns whether the record is there, and not the one that was integrated."""
        if self.record_mac is None:
            return False
        digest = self.entry.body_digest
        return self.record_mac != self.entry.mac or digest not in (None, self.record_digest)


@dataclass(frozen=True, slots=True)
class KnownLog:
    """The log as it was seen earlier.

    Attributes:
        source: who saw it, for the findings.
    """

    log: CheckpointLog
    source: str


@dataclass
class LogCheck:
    """A check of the whole log, run once.

    Attributes:
        known: what others saw of it, by size.
        findings: what is wrong with the log.
        last: number and MAC of each writer's last record in it.
        replaced: records that are not those which were integrated.
    """

    key_of: KeyOf
    known: Sequence[KnownLog] = ()
    findings: list[Finding] = field(default_factory=list)
    last: dict[UUID, tuple[int, bytes]] = field(default_factory=dict)
    replaced: list[Finding] = field(default_factory=list)
    _position: int = 0
    _confirmed: int = 0
    _reported: bool = False
    _tree: Tree | None = EMPTY
    _leaves: list[bytes] = field(default_factory=list)
    _displaced: dict[int, LogEntry] = field(default_factory=dict)
    _claimed: int = 0

    @property
    def sound(self) -> bool:
        """Returns whether the log itself is as servers made it."""
        return not self.findings

    def run(self, entries: Iterable[LoggedMac], roots: Iterable[LogRoot]) -> None:
        """Checks entries, ordered by position, and roots, ordered by size."""
        # At one size the root first: what it says of the leaves counts for the others.
        known: list[LogRoot | KnownLog] = sorted(self.known, key=_size)
        stops = merge(roots, known, key=_size)
        stop = next(stops, None)
        for logged in entries:
            while stop is not None and _size(stop) < logged.entry.position:
                self._stop(stop)
                stop = next(stops, None)
            self._enter(logged)
        while stop is not None:
            self._stop(stop)
            stop = next(stops, None)
        self._end()

    def _enter(self, logged: LoggedMac) -> None:
        entry, position = logged.entry, logged.entry.position
        if position > self._position + 1:
            self._find(
                "", 0, FindingKind.DELETED, f"{_range(self._position + 1, position - 1)} missing"
            )
            self._tree, self._leaves = None, []
        self._position = position
        if entry.leaf != entry.leaf_at(position):
            self._reported = True
            if len(self._displaced) < _MAX_HELD:
                self._displaced[position] = entry
        else:
            self._follow(logged)
        self._leaves.append(entry.leaf)
        if len(self._leaves) >= _MAX_HELD:
            self._grow()

    def _follow(self, logged: LoggedMac) -> None:
        entry = logged.entry
        number, _ = self.last.get(entry.writer, (0, b""))
        if entry.number <= number:
            text = f"position {entry.position} of the log comes after that of record {number}"
            self._find(str(entry.writer), entry.number, FindingKind.REORDERED, text)
            return
        self.last[entry.writer] = entry.number, entry.mac
        if logged.replaced and len(self.replaced) < _MAX_HELD:
            text = f"not the record that was given position {entry.position}"
            finding = Finding(str(entry.writer), entry.number, FindingKind.EDITED.value, text)
            self.replaced.append(finding)

    def _stop(self, stop: LogRoot | KnownLog) -> None:
        self._grow()
        if isinstance(stop, KnownLog):
            self._compare(stop)
        else:
            self._confirm(stop)

    def _confirm(self, root: LogRoot) -> None:
        tree, size = root.tree(self.key_of), root.size
        if tree is None:
            self._find("", 0, FindingKind.EDITED, f"the log's root over {size} entries was edited")
            return
        if self._position < size:
            self._claimed = max(self._claimed, size)
            return
        if (self._tree is None or self._tree.root() != root.root) and not self._reported:
            text = f"{_range(self._confirmed + 1, size)} not what was integrated there"
            self._find("", 0, FindingKind.EDITED, text)
        self._tree, self._confirmed, self._reported = tree, size, False

    def _compare(self, known: KnownLog) -> None:
        size = known.log.size
        if self._position < size:
            self._claimed = max(self._claimed, size)
        elif self._tree is not None and self._tree.root() != known.log.root:
            text = f"the log's first {size} entries are not those of {known.source}"
            self._find("", 0, FindingKind.EDITED, text)

    def _end(self) -> None:
        self._grow()
        if self._position < self._claimed:
            text = f"{_range(self._position + 1, self._claimed)} missing at the end"
            self._find("", 0, FindingKind.TRUNCATED, text)
        elif self._confirmed < self._position and not self._reported:
            text = f"{_range(self._confirmed + 1, self._position)} under no root"
            self._find("", 0, FindingKind.INSERTED, text)
        self.findings += self._displaced_findings()

    def _displaced_findings(self) -> Iterator[Finding]:
        for position, entry in self._displaced.items():
            origins = (at for at in self._displaced if entry.leaf_at(at) == entry.leaf)
            if (origin := next(origins, None)) is not None:
                text = f"position {origin} of the log stands at {position}"
                yield Finding(str(entry.writer), entry.number, FindingKind.REORDERED.value, text)
            else:
                text = f"position {position} of the log was edited"
                yield Finding(str(entry.writer), entry.number, FindingKind.EDITED.value, text)

    def _grow(self) -> None:
        if self._tree is not None:
            self._tree = self._tree.grown(self._leaves)
        self._leaves = []

    def _find(self, writer: str, number: int, kind: FindingKind, text: str) -> None:
        self._reported = True
        if len(self.findings) < _MAX_HELD:
            self.findings.append(Finding(writer, number, kind.value, text))


def _size(stop: LogRoot | KnownLog) -> int:
    return stop.log.size if isinstance(stop, KnownLog) else stop.size


def _range(first: int, last: int) -> str:
    if first == last:
        return f"position {first} of the log is"
    return f"positions {first} to {last} of the log are"
