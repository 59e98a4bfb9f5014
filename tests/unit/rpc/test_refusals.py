from __future__ import annotations

from vault.errors import AuditUnavailable, Reason
from vault.model import AuditEvent
from vault.rpc.refusals import RefusalCounter


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
    assert [(event.purpose, dict(event.counts)) for event in audit.events] == [
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
