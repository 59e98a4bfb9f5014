"""Notices from the step that owes them to the receiver, over a store in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.service.conftest import FixedKeys
from vault.model import NoticeType
from vault.service.notices.delivery import Delivery, NotDelivered, NoticeOutcome
from vault.service.notices.notices import Notice, Notices, Subscription
from vault.service.ports import OutboxRow
from vault.testing.store import MemoryUnitOfWork

TIME = datetime(2026, 11, 28, 9, 0, 0, 4, UTC)
GRANTED = Notice(NoticeType.REVEAL_GRANTED, "a", TIME, {"tokens": 3})
DENIED = replace(GRANTED, type=NoticeType.REVEAL_DENIED)
DAY = timedelta(days=1)


@dataclass
class Clock:
    now: datetime = TIME

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Harness:
    clock: Clock = field(default_factory=Clock)
    problem: str = ""
    sent: list[OutboxRow] = field(default_factory=list)
    refused: list[OutboxRow] = field(default_factory=list)
    counted: list[NoticeOutcome] = field(default_factory=list)
    keys: FixedKeys = field(default_factory=FixedKeys)

    def __post_init__(self) -> None:
        self.work = MemoryUnitOfWork(self.clock)
        self.delivery = Delivery(
            self.work,
            self.keys,
            "siem",
            self._send,
            lease=timedelta(minutes=1),
            max_age=DAY,
            refused=self.refused.append,
            count=self.counted.append,
            spread=lambda: 1.0,
        )

    def _send(self, row: OutboxRow) -> str:
        self.sent.append(row)
        return self.problem

    def add(self, notice: Notice, *subscriptions: Subscription) -> None:
        notices = Notices(self.keys, "/here", subscriptions or [Subscription("siem")])
        self.work.run(lambda transaction: notices.add(transaction.outbox, "default", notice))

    def due(self) -> bool:
        """Returns whether something is due now, and leaves it so."""
        with self.work._lock:
            tables = self.work._tables.copy()
            found = self.work.run(lambda each: each.outbox.claim("siem", timedelta(0)))
            self.work._tables = tables
        return found is not None

    def fails(self) -> NotDelivered:
        with pytest.raises(NotDelivered) as caught:
            self.delivery.deliver()
        return caught.value


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_a_notice_is_a_cloud_event(harness: Harness) -> None:
    harness.add(GRANTED)
    (row,) = harness.work.waiting
    assert json.loads(row.event) == {
        "specversion": "1.0",
        "id": str(row.id),
        "source": "/here",
        "type": "tokenvault.reveal.granted",
        "subject": "a",
        "time": "2026-11-28T09:00:00.000004+00:00",
        "datacontenttype": "application/json",
        "data": {"tokens": 3},
    }


def test_each_receiver_is_told_what_it_asked_for_under_one_id(harness: Harness) -> None:
    denials = Subscription("lead", frozenset({NoticeType.REVEAL_DENIED}))
    harness.add(GRANTED, Subscription("siem"), denials)
    harness.add(DENIED, Subscription("siem"), denials)
    assert [row.endpoint for row in harness.work.waiting] == ["siem", "siem", "lead"]
    assert len({row.id for row in harness.work.waiting[1:]}) == 1
    harness.add(GRANTED, denials)
    assert len(harness.work.waiting) == 3


def test_what_is_taken_is_sent_once(harness: Harness) -> None:
    harness.add(GRANTED)
    assert harness.delivery.deliver()
    assert not harness.delivery.deliver()
    assert len(harness.sent) == 1
    assert harness.work.waiting == ()
    assert harness.counted == [NoticeOutcome.DELIVERED]


def test_what_is_not_taken_waits_ever_longer_and_is_sent_under_its_id(harness: Harness) -> None:
    harness.add(GRANTED)
    harness.problem = "answered 503"
    pauses = []
    for _ in range(10):
        assert harness.fails().given_up is None
        waited = timedelta(0)
        while not harness.due():
            harness.clock.now += timedelta(seconds=1)
            waited += timedelta(seconds=1)
        pauses.append(waited.total_seconds())
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    harness.problem = ""
    assert harness.delivery.deliver()
    assert len({row.id for row in harness.sent}) == 1
    assert harness.work.waiting == ()


def test_what_is_too_old_is_tried_once_more_and_given_up(harness: Harness) -> None:
    harness.add(GRANTED)
    (row,) = harness.work.waiting
    harness.problem = "ConnectionError"
    harness.clock.now += DAY
    assert harness.fails().given_up == row
    assert harness.work.waiting == ()
    assert harness.counted == [NoticeOutcome.FAILED, NoticeOutcome.GIVEN_UP]


@pytest.mark.parametrize(
    "change",
    [
        {"event": '{"data":"forged"}'},
        {"tenant": "another"},
        {"mac": bytes(32)},
        {"key_version": 3},
    ],
)
def test_a_row_that_no_server_wrote_is_not_sent(
    harness: Harness, change: dict[str, object]
) -> None:
    harness.add(GRANTED)
    (genuine,) = harness.work.waiting
    harness.work.run(lambda transaction: transaction.outbox.remove(genuine))
    forged = replace(genuine, **change)  # type: ignore[arg-type]
    harness.work.run(lambda transaction: transaction.outbox.add([forged]))
    assert harness.delivery.deliver()
    assert harness.sent == []
    assert harness.refused == [forged]
    assert harness.work.waiting == ()


def test_a_row_is_of_one_receiver(harness: Harness) -> None:
    harness.add(GRANTED, Subscription("lead"))
    (genuine,) = harness.work.waiting
    moved = replace(genuine, endpoint="siem")
    harness.work.run(lambda transaction: transaction.outbox.add([moved]))
    assert harness.delivery.deliver()
    assert harness.refused == [moved]


def test_one_that_is_taken_and_not_removed_is_not_sent_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add(GRANTED)
    with monkeypatch.context() as broken:
        broken.setattr(harness.delivery, "_remove", fail)
        with pytest.raises(ZeroDivisionError):
            harness.delivery.deliver()
    harness.clock.now += timedelta(hours=1)
    assert not harness.delivery.deliver()
    assert len(harness.sent) == 1


def fail(row: OutboxRow) -> None:
    raise ZeroDivisionError
