"""Checks one writer's chain: which records are in place, moved, edited or missing.

A record's MAC covers its writer and number, so a genuine record that was moved still
says where it belongs. That distinguishes a moved record from an edited one, an
inserted one from the genuine one that it displaced, and a gap from a shift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count, groupby
from uuid import UUID

from vault.audit.record import NO_MAC, Head, Record, RecordId, stated_id
from vault.crypto.field_key import MacKey
from vault.crypto.key_versions import verifies_under
from vault.service.audit import Finding

__all__ = ["Chain", "FindingKind", "KeyOf", "is_genuine_record"]

KeyOf = Callable[[int], MacKey]
_MAX_GAP = 10_000  # numbers of a gap that are checked one by one


def is_genuine_record(key_of: KeyOf, record: Record, place: RecordId | None = None) -> bool:
    """Returns whether a record is one of ours, in its place or the one given."""
    at = place or RecordId(record.writer, record.number)
    return verifies_under(
        key_of, record.key_version, lambda key: record.verifies(key, at.writer, at.number)
    )


class FindingKind(StrEnum):
    """What can be wrong with the audit."""

    EDITED = "EDITED"
    DELETED = "DELETED"
    BROUGHT_BACK = "BROUGHT_BACK"
    INSERTED = "INSERTED"
    REORDERED = "REORDERED"
    TRUNCATED = "TRUNCATED"
    UNKNOWN_WRITER = "UNKNOWN_WRITER"
    KEY_LOST = "KEY_LOST"
    ALTERED_TABLE = "ALTERED_TABLE"
    FORGED_ROW = "FORGED_ROW"
    ROLLED_BACK = "ROLLED_BACK"


@dataclass
class Chain:
    """One writer's records, fed in the order of their numbers, and then judged.

    Attributes:
        anchors: MACs that genuine sources (a later writer, a checkpoint) saw at a number.
        pruned: the number up to which records may be gone, but for the first.
    """

    writer: UUID
    key_of: KeyOf
    anchors: Mapping[int, bytes] = field(default_factory=dict)
    pruned: int = 0
    highest: int = 0
    _last_mac: bytes = NO_MAC
    _last_genuine: bool = True
    _last_good: tuple[int, bytes] = (0, NO_MAC)
    _gaps: list[range] = field(default_factory=list)
    _bad: list[int] = field(default_factory=list)
    _forked: list[int] = field(default_factory=list)
    _moved: dict[int, RecordId] = field(default_factory=dict)

    def feed(self, record: Record) -> None:
        """Takes the next record."""
        number = record.number
        if number > self.highest + 1:
            self._gaps += self._gaps_between(self.highest + 1, number)
        genuine = self._verifies(record, RecordId(self.writer, number))
        if genuine:
            self._check_link(record)
            self._last_good = number, record.mac
        else:
            self._take_displaced(record)
        self.highest, self._last_mac, self._last_genuine = number, record.mac, genuine

    def _gaps_between(self, first: int, end: int) -> Iterator[range]:
        """Returns which numbers are missing; those that were pruned are not."""
        if first == 1:
            yield range(1, min(2, end))
        if (start := max(first, 2, self.pruned + 1)) < end:
            yield range(start, end)

    def findings(self, head: Head | None) -> list[Finding]:
        """Compares the chain with its head; returns all that is wrong with it."""
        trusted = head if head is not None and self._head_verifies(head) else None
        return [
            *self._head_findings(head, trusted),
            *self._misplaced_findings(trusted),
            *self._missing_findings(trusted),
        ]

    @property
    def _stated(self) -> set[int]:
        """Numbers of this writer's genuine records that stand where another belongs."""
        return {
            record_id.number
            for record_id in self._moved.values()
            if record_id.writer == self.writer
        }

    def _verifies(self, record: Record, record_id: RecordId) -> bool:
        if not 0 < record_id.number < 2**63:
            return False
        return is_genuine_record(self.key_of, record, record_id)

    def _head_verifies(self, head: Head) -> bool:
        return verifies_under(self.key_of, head.key_version, head.verifies)

    def _check_link(self, record: Record) -> None:
        follows = record.number == self.highest + 1 and self._last_genuine
        anchor = self.anchors.get(record.number, record.mac)
        if (follows and record.previous != self._last_mac) or anchor != record.mac:
            self._forked.append(record.number)

    def _take_displaced(self, record: Record) -> None:
        record_id = stated_id(record.body)
        if record_id is not None and self._verifies(record, record_id):
            self._moved[record.number] = record_id
        else:
            self._bad.append(record.number)

    def _head_findings(self, head: Head | None, trusted: Head | None) -> Iterator[Finding]:
        if head is None:
            yield self._finding(FindingKind.DELETED, 0, "the writer's head is missing")
            return
        number, mac = self._last_good
        if trusted is None:
            yield self._finding(FindingKind.EDITED, head.number, "the writer's head was edited")
        elif trusted.number < number:
            text = f"the head was put back from record {number} to {trusted.number}"
            yield self._finding(FindingKind.EDITED, trusted.number, text)
        elif trusted.number == number and trusted.mac != mac:
            yield self._finding(FindingKind.EDITED, number, "the head is of another record")

    def _misplaced_findings(self, trusted: Head | None) -> Iterator[Finding]:
        stated = self._stated
        for number in self._bad:
            beyond = trusted is not None and number > trusted.number
            if number in stated or beyond:
                yield self._finding(FindingKind.INSERTED, number, "a record that no server wrote")
            else:
                yield self._finding(FindingKind.EDITED, number, "the record was edited")
        for number in self._forked:
            text = "the record is of another history than its neighbours"
            yield self._finding(FindingKind.EDITED, number, text)
        copies = {at for at, record_id in self._moved.items() if self._in_place(record_id)}
        for number in sorted(copies):
            text = f"a copy of record {self._moved[number].number}"
            yield self._finding(FindingKind.INSERTED, number, text)
        yield from self._moved_findings(copies)

    def _moved_findings(self, copies: set[int]) -> Iterator[Finding]:
        moved = sorted(self._moved.keys() - copies)
        position = count()

        def shift(at: int) -> tuple[UUID, int, int]:
            record_id = self._moved[at]
            return record_id.writer, record_id.number - at, at - next(position)

        for _, run in groupby(moved, shift):
            first, *rest = run
            record_id = self._moved[first]
            text = f"record {record_id.number} of writer {record_id.writer} stands here"
            if rest:
                text = f"{text}, and {len(rest)} more moved with it"
            yield self._finding(FindingKind.REORDERED, first, text)

    def _in_place(self, record_id: RecordId) -> bool:
        return (
            record_id.writer == self.writer
            and 0 < record_id.number <= self.highest
            and record_id.number not in self._moved
            and record_id.number not in self._bad
            and not any(record_id.number in gap for gap in self._gaps)
        )

    def _missing_findings(self, trusted: Head | None) -> Iterator[Finding]:
        stated = self._stated
        end = max(self.highest, *stated, 0)
        last = max(trusted.number if trusted else 0, *self.anchors, 0)
        genuine_end = last if trusted else self.highest
        pushed_aside = [at for at in self._moved if at not in stated and at <= genuine_end]
        for number, length in _runs([*pushed_aside, *self._gap_numbers(stated)]):
            yield self._finding(FindingKind.DELETED, number, _missing(number, length))
        if last > end:
            text = f"{_missing(end + 1, last - end)} at the end"
            yield self._finding(FindingKind.TRUNCATED, end + 1, text)

    def _gap_numbers(self, stated: set[int]) -> Iterator[int]:
        for gap in self._gaps:
            yield from (number for number in gap[:_MAX_GAP] if number not in stated)

    def _finding(self, kind: FindingKind, number: int, message: str) -> Finding:
        return Finding(str(self.writer), number, kind.value, message)


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Joins numbers into runs: (first, length)."""
    position = count()
    for _, run in groupby(sorted(numbers), lambda number: number - next(position)):
        members = list(run)
        yield members[0], len(members)


def _missing(number: int, length: int) -> str:
    if length == 1:
        return f"record {number} is missing"
    return f"records {number} to {number + length - 1} are missing"
