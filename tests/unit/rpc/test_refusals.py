from __future__ import annotations

from types import SimpleNamespace

import pytest

from vault.errors import AuditUnavailable, Reason
from vault.model import AuditEvent
from vault.rpc import refusals as module
from vault.rpc.refusals import MinuteBudget, RefusalCounter


class Audit:
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.away = False

    def write(self, event: AuditEvent) -> None:
        if self.away:
            raise AuditUnavailable("away")
        self.events.append(event)


def counter(audit: Audit) -> RefusalCounter:
    return RefusalCounter(audit.write, "mtls", lambda: "d1g357", interval=3600)


def test_many_calls_are_one_record_per_reason() -> None:
    audit = Audit()
    refusals = counter(audit)
    for _ in range(1000):
        refusals.count(Reason.UNAUTHENTICATED, "another trust domain")
    refusals.count(Reason.UNAUTHENTICATED, "expired")
    refusals.flush()
    assert [(event.detail, dict(event.counts)) for event in audit.events] == [
        ("another trust domain", {"calls": 1000}),
        ("expired", {"calls": 1}),
    ]
    assert audit.events[0].outcome == "denied"
    assert audit.events[0].peer == "listener:mtls"
    assert audit.events[0].policy_digest == "d1g357"


def test_nothing_to_tell_is_no_record() -> None:
    audit = Audit()
    counter(audit).flush()
    assert audit.events == []


def test_counts_outlive_an_audit_that_is_away() -> None:
    audit = Audit()
    refusals = counter(audit)
    audit.away = True
    refusals.count(Reason.UNAUTHENTICATED, "expired")
    refusals.flush()
    refusals.count(Reason.UNAUTHENTICATED, "expired")
    audit.away = False
    refusals.flush()
    assert [dict(event.counts) for event in audit.events] == [{"calls": 2}]


def test_stop_writes_what_is_left() -> None:
    audit = Audit()
    refusals = counter(audit)
    refusals.start()
    refusals.count(Reason.OVERLOADED, "full")
    refusals.stop()
    assert [event.reason for event in audit.events] == ["OVERLOADED"]


def test_known_callers_are_counted_apart_and_so_many_of_them() -> None:
    audit = Audit()
    refusals = counter(audit)
    for number in range(300):
        refusals.count(Reason.DENIED, "no role", f"principal {number}")
    refusals.flush()
    assert len(audit.events) == 257
    assert (audit.events[0].principal, dict(audit.events[0].counts)) == (
        "principal 0",
        {"calls": 1},
    )
    assert (audit.events[-1].principal, dict(audit.events[-1].counts)) == ("", {"calls": 44})


def test_a_minute_has_so_many_of_each_and_of_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [60.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    budget = MinuteBudget(2, sources=2)
    assert [budget.spend("a") for _ in range(3)] == [True, True, False]
    assert budget.spend("b")
    assert not budget.spend("c")
    now[0] = 119.9
    assert not budget.spend("a")
    now[0] = 120.0
    assert budget.spend("c")
    assert budget.spend("a")
