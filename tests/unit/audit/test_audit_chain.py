"""Tampering with chains in memory: each kind is named, with writer and number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from vault.audit.checkpoint import Checkpoint, CheckpointHead
from vault.audit.record import (
    NO_MAC,
    Head,
    Opening,
    Record,
    Writer,
    event_body,
    make_head,
    make_record,
    opening_body,
)
from vault.audit.verify import AuditSnapshot, verify
from vault.crypto.field_key import MacKey
from vault.errors import DecryptionFailed, KeysUnavailable
from vault.model import AuditEvent

KEYS = {1: MacKey(1, b"1" * 32), 2: MacKey(2, b"2" * 32)}
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
EVENT = AuditEvent("Tokenize", "allowed", "spiffe://example.org/etl", "::1", "0a", "r", "d")
FIRST, SECOND, THIRD = (UUID(int=number) for number in (3, 1, 2))


def key_of(version: int) -> MacKey:
    if version not in KEYS:
        raise DecryptionFailed
    return KEYS[version]


@dataclass
class Audit:
    """An audit as a table owner sees it."""

    writers: list[Writer] = field(default_factory=list)
    heads: dict[UUID, Head] = field(default_factory=dict)
    records: dict[tuple[UUID, int], Record] = field(default_factory=dict)

    def open(self, writer: UUID, ordinal: int, key: MacKey = KEYS[1]) -> None:
        last = self.heads[self.writers[-1].writer] if self.writers else None
        opening = Opening(ordinal, None if last is None else (last.writer, last.number, last.mac))
        body = opening_body(opening, server="test", writer=writer, now=NOW)
        self.writers.append(Writer(ordinal, writer, "test"))
        self._store(key, make_record(key, writer, 1, NO_MAC, body))

    def append(self, writer: UUID, key: MacKey = KEYS[1]) -> None:
        head = self.heads[writer]
        number = head.number + 1
        body = event_body(EVENT, server="test", writer=writer, number=number, now=NOW)
        self._store(key, make_record(key, writer, number, head.mac, body))

    def _store(self, key: MacKey, record: Record) -> None:
        self.records[record.writer, record.number] = record
        self.heads[record.writer] = make_head(key, record)

    def put(self, record: Record, number: int) -> None:
        self.records[record.writer, number] = replace(record, number=number)

    def findings(self, checkpoint: Checkpoint | None = None) -> list[tuple[str, int, str]]:
        records = [self.records[place] for place in sorted(self.records)]
        openings = [record for record in records if record.number == 1]
        writers = sorted(self.writers, key=lambda writer: writer.ordinal)
        report = verify(AuditSnapshot(writers, self.heads, openings, records), key_of, checkpoint)
        assert report.records == len(records)
        return [(finding.writer, finding.number, finding.kind) for finding in report.findings]

    def checkpoint(self) -> Checkpoint:
        heads = [CheckpointHead(h.writer, h.number, h.mac) for h in self.heads.values()]
        return Checkpoint(NOW, heads)


@pytest.fixture
def audit() -> Audit:
    """Three writers; the first has 6 records, the second 4, the third 1."""
    made = Audit()
    made.open(FIRST, 1)
    for _ in range(5):
        made.append(FIRST)
    made.open(SECOND, 2)
    for key in (1, 2, 2):
        made.append(SECOND, KEYS[key])
    made.open(THIRD, 3, KEYS[2])
    return made


def edit(audit: Audit) -> None:
    record = audit.records[FIRST, 3]
    audit.records[FIRST, 3] = replace(record, body=record.body.replace("allowed", "denied"))


def edit_mac(audit: Audit) -> None:
    audit.records[FIRST, 3] = replace(audit.records[FIRST, 3], mac=bytes(32))


def edit_key_version(audit: Audit) -> None:
    audit.records[FIRST, 3] = replace(audit.records[FIRST, 3], key_version=-9)


def delete(audit: Audit) -> None:
    del audit.records[FIRST, 3]


def delete_two(audit: Audit) -> None:
    del audit.records[FIRST, 3], audit.records[FIRST, 4]


def delete_first(audit: Audit) -> None:
    del audit.records[FIRST, 1]


def delete_and_close_the_gap(audit: Audit) -> None:
    for number in (3, 4, 5):
        audit.put(audit.records[FIRST, number + 1], number)
    del audit.records[FIRST, 6]


def swap(audit: Audit) -> None:
    third, fourth = audit.records[FIRST, 3], audit.records[FIRST, 4]
    audit.put(third, 4)
    audit.put(fourth, 3)


def insert_at_the_end(audit: Audit) -> None:
    audit.put(replace(audit.records[FIRST, 6], mac=bytes(32)), 7)


def insert_a_copy(audit: Audit) -> None:
    audit.put(audit.records[FIRST, 3], 7)


def insert_in_the_middle(audit: Audit) -> None:
    for number in (6, 5, 4, 3):
        audit.put(audit.records[FIRST, number], number + 1)
    audit.put(replace(audit.records[FIRST, 2], body='{"kind":"call"}'), 3)


def overwrite_with_a_copy(audit: Audit) -> None:
    audit.put(audit.records[FIRST, 5], 3)


def truncate(audit: Audit) -> None:
    del audit.records[FIRST, 5], audit.records[FIRST, 6]


def truncate_and_edit_the_head(audit: Audit) -> None:
    del audit.records[FIRST, 6]
    audit.heads[FIRST] = replace(audit.heads[FIRST], number=5, mac=audit.records[FIRST, 5].mac)


def truncate_and_put_an_old_head_back(audit: Audit) -> None:
    del audit.records[FIRST, 6]
    audit.heads[FIRST] = make_head(KEYS[1], audit.records[FIRST, 5])


def put_an_old_head_back(audit: Audit) -> None:
    audit.heads[FIRST] = make_head(KEYS[1], audit.records[FIRST, 5])


def delete_the_head(audit: Audit) -> None:
    del audit.heads[FIRST]


def delete_all_records(audit: Audit) -> None:
    for number in range(1, 5):
        del audit.records[SECOND, number]


def delete_the_writer(audit: Audit) -> None:
    delete_all_records(audit)
    del audit.heads[SECOND]
    del audit.writers[1]


def delete_from_the_list(audit: Audit) -> None:
    del audit.writers[0]


def fork(audit: Audit) -> None:
    body = audit.records[FIRST, 3].body.replace("allowed", "denied")
    audit.records[FIRST, 3] = make_record(KEYS[1], FIRST, 3, audit.records[FIRST, 2].mac, body)


def move_to_another_writer(audit: Audit) -> None:
    audit.records[SECOND, 2] = replace(audit.records[FIRST, 3], writer=SECOND, number=2)


def invent_a_writer(audit: Audit) -> None:
    audit.records[UUID(int=9), 1] = replace(audit.records[FIRST, 2], writer=UUID(int=9), number=1)


def edit_the_list(audit: Audit) -> None:
    audit.writers[1] = replace(audit.writers[1], ordinal=3)
    audit.writers[2] = replace(audit.writers[2], ordinal=2)


CASES: list[tuple[Callable[[Audit], None], set[tuple[UUID | None, int, str]]]] = [
    (edit, {(FIRST, 3, "EDITED")}),
    (edit_mac, {(FIRST, 3, "EDITED")}),
    (edit_key_version, {(FIRST, 3, "EDITED")}),
    (delete, {(FIRST, 3, "DELETED")}),
    (delete_two, {(FIRST, 3, "DELETED")}),
    (delete_first, {(FIRST, 1, "DELETED")}),
    (delete_and_close_the_gap, {(FIRST, 3, "REORDERED"), (FIRST, 3, "DELETED")}),
    (swap, {(FIRST, 3, "REORDERED"), (FIRST, 4, "REORDERED")}),
    (insert_at_the_end, {(FIRST, 7, "INSERTED")}),
    (insert_a_copy, {(FIRST, 7, "INSERTED")}),
    (insert_in_the_middle, {(FIRST, 3, "INSERTED"), (FIRST, 4, "REORDERED")}),
    (overwrite_with_a_copy, {(FIRST, 3, "INSERTED"), (FIRST, 3, "DELETED")}),
    (truncate, {(FIRST, 5, "TRUNCATED")}),
    (truncate_and_edit_the_head, {(FIRST, 5, "EDITED"), (FIRST, 6, "TRUNCATED")}),
    # Writer 2 was opened after record 6 of writer 1 and names it.
    (truncate_and_put_an_old_head_back, {(FIRST, 6, "TRUNCATED")}),
    (put_an_old_head_back, {(FIRST, 5, "EDITED")}),
    (delete_the_head, {(FIRST, 0, "DELETED")}),
    (delete_all_records, {(SECOND, 1, "TRUNCATED")}),
    (delete_the_writer, {(SECOND, 0, "UNKNOWN_WRITER")}),
    (delete_from_the_list, {(FIRST, 0, "UNKNOWN_WRITER")}),
    (fork, {(FIRST, 4, "EDITED")}),
    (move_to_another_writer, {(SECOND, 2, "REORDERED"), (SECOND, 2, "DELETED")}),
    (invent_a_writer, {(UUID(int=9), 0, "UNKNOWN_WRITER")}),
    (edit_the_list, {(SECOND, 1, "EDITED"), (THIRD, 1, "EDITED")}),
]


def test_an_untouched_audit_is_sound(audit: Audit) -> None:
    assert audit.findings() == []
    assert audit.findings(audit.checkpoint()) == []


def test_an_empty_audit_is_sound() -> None:
    assert Audit().findings() == []


@pytest.mark.parametrize(("tamper", "expected"), CASES, ids=[case[0].__name__ for case in CASES])
def test_tampering_is_named(
    audit: Audit,
    tamper: Callable[[Audit], None],
    expected: set[tuple[UUID | None, int, str]],
) -> None:
    tamper(audit)
    assert set(audit.findings()) == {(str(writer), *rest) for writer, *rest in expected}


def test_two_missing_writers_in_a_row_are_both_counted(audit: Audit) -> None:
    for writer in (FIRST, SECOND):
        audit.heads.pop(writer)
        audit.records = {at: row for at, row in audit.records.items() if at[0] != writer}
    audit.writers = audit.writers[2:]
    assert set(audit.findings()) == {
        (str(SECOND), 0, "UNKNOWN_WRITER"),
        ("", 0, "UNKNOWN_WRITER"),
    }


def test_a_checkpoint_shows_what_was_cut_off_with_its_head(audit: Audit) -> None:
    checkpoint = audit.checkpoint()
    del audit.records[SECOND, 4]
    audit.heads[SECOND] = make_head(KEYS[2], audit.records[SECOND, 3])
    third = make_record(KEYS[2], THIRD, 1, NO_MAC, audit.records[THIRD, 1].body)
    assert third == audit.records[THIRD, 1]
    assert audit.findings(checkpoint) == [(str(SECOND), 4, "TRUNCATED")]


def test_a_checkpoint_shows_a_last_writer_removed(audit: Audit) -> None:
    checkpoint = audit.checkpoint()
    del audit.records[THIRD, 1], audit.heads[THIRD], audit.writers[2]
    assert audit.findings() == []
    assert audit.findings(checkpoint) == [(str(THIRD), 0, "UNKNOWN_WRITER")]


def test_a_checkpoint_shows_another_history(audit: Audit) -> None:
    checkpoint = audit.checkpoint()
    body = audit.records[SECOND, 4].body.replace("allowed", "denied")
    previous = audit.records[SECOND, 3].mac
    audit.records[SECOND, 4] = make_record(KEYS[2], SECOND, 4, previous, body)
    audit.heads[SECOND] = make_head(KEYS[2], audit.records[SECOND, 4])
    assert (str(SECOND), 4, "EDITED") in audit.findings(checkpoint)


def test_findings_are_bounded(audit: Audit) -> None:
    for _ in range(3000):
        audit.append(FIRST)
    for number in range(2, 3006, 2):
        del audit.records[FIRST, number]
    assert len(audit.findings()) == 1000


def test_without_keys_nothing_is_verified(audit: Audit) -> None:
    def no_keys(_: int) -> MacKey:
        raise KeysUnavailable("sealed")

    records = list(audit.records.values())
    with pytest.raises(KeysUnavailable):
        verify(AuditSnapshot(audit.writers, audit.heads, records[:1], records), no_keys)


def open_naming_a_lost_chain(audit: Audit, writer: UUID, ordinal: int, body: str) -> None:
    audit.writers.append(Writer(ordinal, writer, "test"))
    audit._store(KEYS[1], make_record(KEYS[1], writer, 1, NO_MAC, body))


def lost_chain(audit: Audit) -> tuple[UUID, int, bytes]:
    return FIRST, 6, audit.heads[FIRST].mac


def test_an_opening_that_names_a_lost_chain_beside_the_last_writer_is_sound(audit: Audit) -> None:
    before, last = audit.heads[THIRD], lost_chain(audit)
    opening = Opening(4, (THIRD, before.number, before.mac), last)
    fourth = UUID(int=4)
    body = opening_body(opening, server="test", writer=fourth, now=NOW)
    open_naming_a_lost_chain(audit, fourth, 4, body)
    assert audit.findings() == []
    truncate_and_put_an_old_head_back(audit)
    assert audit.findings() == [(str(FIRST), 6, "TRUNCATED")]


def test_an_opening_of_an_earlier_release_that_names_a_lost_chain_only_is_sound(
    audit: Audit,
) -> None:
    """Earlier releases wrote the lost chain in the place of the writer before."""
    fourth = UUID(int=4)
    body = opening_body(Opening(4, lost_chain(audit)), server="test", writer=fourth, now=NOW)
    open_naming_a_lost_chain(audit, fourth, 4, body.replace('"lost":null,', ""))
    assert audit.findings() == []
    del audit.writers[0]
    assert (str(FIRST), 0, "UNKNOWN_WRITER") in audit.findings()


def test_an_opening_of_this_release_names_the_writer_before(audit: Audit) -> None:
    fourth = UUID(int=4)
    body = opening_body(Opening(4, lost_chain(audit)), server="test", writer=fourth, now=NOW)
    open_naming_a_lost_chain(audit, fourth, 4, body)
    assert audit.findings() == [(str(fourth), 1, "EDITED")]
