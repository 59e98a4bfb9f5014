"""Which of a writer's records may get a position, and the order over all writers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from vault.audit.integration_batch import WriterBacklog, merge_by_time, time_of, verified_prefix
from vault.audit.record import NO_MAC, Record, event_body, make_record
from vault.crypto.field_key import MacKey
from vault.errors import DecryptionFailed, KeysUnavailable
from vault.model import AuditEvent

KEY = MacKey(1, b"1" * 32)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d")
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
A, B = UUID(int=1), UUID(int=2)


def key_of(version: int) -> MacKey:
    if version != 1:
        raise DecryptionFailed
    return KEY


def chain(writer: UUID, times: list[int]) -> list[Record]:
    records: list[Record] = []
    for number, seconds in enumerate(times, 1):
        now = NOW + timedelta(seconds=seconds)
        body = event_body(EVENT, server="s", writer=writer, number=number, now=now)
        previous = records[-1].mac if records else NO_MAC
        records.append(make_record(KEY, writer, number, previous, body))
    return records


def test_good_records_are_taken_from_any_point_on() -> None:
    records = chain(A, [1, 2, 3, 4])
    assert verified_prefix(WriterBacklog(A, 4), records, key_of) == (records, None)
    taken, finding = verified_prefix(WriterBacklog(A, 4, 2, records[1].mac), records[2:], key_of)
    assert (list(taken), finding) == (records[2:], None)
    # A bounded page ends before the head does.
    assert verified_prefix(WriterBacklog(A, 4), records[:2], key_of) == (records[:2], None)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"body": "{}"}, "EDITED"),
        ({"mac": bytes(32)}, "EDITED"),
        ({"key_version": 2}, "EDITED"),
        ({"number": 4}, "DELETED"),
    ],
)
def test_the_first_bad_record_ends_it(change: dict[str, object], kind: str) -> None:
    records = chain(A, [1, 2, 3, 4])
    records[2] = replace(records[2], **change)  # type: ignore[arg-type]
    taken, finding = verified_prefix(WriterBacklog(A, 4), records, key_of)
    assert list(taken) == records[:2]
    assert finding is not None
    assert (finding.writer, finding.number, finding.kind) == (str(A), 3, kind)


def test_a_genuine_record_of_another_history_is_not_taken() -> None:
    records, other = chain(A, [1, 2, 3]), chain(A, [9, 8])
    taken, finding = verified_prefix(WriterBacklog(A, 3), [*other, records[2]], key_of)
    assert list(taken) == other
    assert finding is not None
    assert "another history" in finding.message


def test_missing_records_are_named() -> None:
    _, finding = verified_prefix(WriterBacklog(A, 3, 1, b"mac"), [], key_of)
    assert finding is not None
    assert (finding.number, finding.kind) == (2, "DELETED")
    _, finding = verified_prefix(WriterBacklog(A, 1, 3, b"mac"), [], key_of)
    assert finding is not None
    assert (finding.number, finding.kind) == (2, "TRUNCATED")


def test_without_keys_nothing_is_judged() -> None:
    def sealed(_: int) -> MacKey:
        raise KeysUnavailable("sealed")

    with pytest.raises(KeysUnavailable):
        verified_prefix(WriterBacklog(A, 1), chain(A, [1]), sealed)


def test_time_merges_writers_and_never_turns_one_around() -> None:
    # A's second call began before its first, and committed after it.
    records = merge_by_time([*chain(A, [5, 1, 7]), *chain(B, [2, 6])])
    order = [(record.writer, record.number) for record in records]
    assert order == [(B, 1), (A, 1), (A, 2), (B, 2), (A, 3)]


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"time":1}', '{"time":"now"}', "[" * 20_000])
def test_a_body_without_a_time_has_none(body: str) -> None:
    assert time_of(body) is None
