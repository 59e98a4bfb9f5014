"""What auditors do, one verification at a time."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from vault.errors import AuditUnavailable, Denied, InvalidRequest, Reason, Unavailable
from vault.model import Caller, Principal
from vault.policy.reading.load import parse_policy
from vault.service.admission import Admission
from vault.service.audit import (
    AuditPage,
    AuditProof,
    AuditReport,
    AuditSearch,
    AuditService,
    PositionedRecord,
    SignedCheckpoint,
)
from vault.service.budgets import Budgets
from vault.service.call import Call

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness

POLICY = parse_policy(
    "version: 1\nfields: {ssn: {format: us_ssn, generator: ff1}}\n"
    "roles: {auditor: [{allow: [read_audit]}]}\n"
    'principals: [{spiffe: "spiffe://example.org/auditor", roles: [auditor]}]\n',
    "auditors",
)
AUDITOR = Caller(Principal("spiffe", "spiffe://example.org/auditor"), "peer", "01", "r", 5.0)


def asked(rpc: str, caller: Caller = AUDITOR) -> Call:
    return Call(rpc, caller, POLICY)


class SlowVerifier:
    """Verifies until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = Event(), Event()
        self.deadlines: list[float | None] = []

    def verify(self, checkpoint: str = "", *, deadline: float | None = None) -> AuditReport:
        self.deadlines.append(deadline)
        self.begun.set()
        assert self.go_on.wait(10)
        return AuditReport(0, 0, ())

    def tail(self, position: int, limit: int, *, peaks: bool = False) -> AuditPage:
        raise AssertionError("not asked here")

    def search(self, search: AuditSearch, *, deadline: float | None = None) -> AuditPage:
        raise AssertionError("not asked here")

    def checkpoint(self) -> SignedCheckpoint:
        raise AssertionError("not asked here")

    def prove(self, position: int, old: int) -> AuditProof:
        raise AssertionError("not asked here")


def test_a_second_verification_is_refused_while_one_runs(harness: ServiceHarness) -> None:
    verifier = SlowVerifier()
    service = AuditService(Admission(harness.work, Budgets(harness.keys)), verifier)
    first = Thread(target=service.verify_audit, args=(asked("VerifyAudit"),))
    first.start()
    assert verifier.begun.wait(10)

    with pytest.raises(Unavailable) as caught:
        service.verify_audit(asked("VerifyAudit"))

    verifier.go_on.set()
    first.join(10)
    assert caught.value.reason is Reason.OVERLOADED
    assert service.verify_audit(asked("VerifyAudit")).findings == ()
    assert verifier.deadlines == [5.0, 5.0]
    assert [event.outcome for event in harness.work.events].count("failed") == 1


class Reader:
    """An AuditQueries that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def verify(self, checkpoint: str = "", *, deadline: float | None = None) -> AuditReport:
        self.asked.append(("verify", checkpoint))
        return AuditReport(0, 0, ())

    def tail(self, position: int, limit: int, *, peaks: bool = False) -> AuditPage:
        self.asked.append(("tail", position, limit))
        return AuditPage([PositionedRecord(7, "w", 3, "{}")], 8, 2)

    def search(self, search: AuditSearch, *, deadline: float | None = None) -> AuditPage:
        raise AssertionError("not asked here")

    def checkpoint(self) -> SignedCheckpoint:
        raise AuditUnavailable("the database is unavailable", reason=Reason.INTERNAL)

    def prove(self, position: int, old: int) -> AuditProof:
        self.asked.append(("prove", position, old))
        return AuditProof("checkpoint", None)


def test_a_proof_is_of_something_and_recorded(harness: ServiceHarness) -> None:
    reader = Reader()
    service = AuditService(Admission(harness.work, Budgets(harness.keys)), reader)
    assert service.prove_audit(asked("ProveAudit"), 7, 0).checkpoint == "checkpoint"
    service.prove_audit(asked("ProveAudit"), 0, 3)
    for position, old in ((0, 0), (-1, 0), (7, -1)):
        with pytest.raises(InvalidRequest):
            service.prove_audit(asked("ProveAudit"), position, old)
    assert reader.asked == [("prove", 7, 0), ("prove", 0, 3)]
    told = [(event.rpc, event.outcome) for event in harness.work.events]
    assert told == [("ProveAudit", "allowed")] * 2 + [("ProveAudit", "failed")] * 3


def test_peaks_are_those_before_a_position(harness: ServiceHarness) -> None:
    service = AuditService(Admission(harness.work, Budgets(harness.keys)), Reader())
    with pytest.raises(InvalidRequest):
        service.tail_audit(asked("TailAudit"), 0, 1, peaks=True)


def test_a_page_is_bounded_and_recorded(harness: ServiceHarness) -> None:
    reader = Reader()
    service = AuditService(Admission(harness.work, Budgets(harness.keys)), reader)
    assert service.tail_audit(asked("TailAudit"), 7, 1000).next == 8
    service.tail_audit(asked("TailAudit"), 0, 0)
    assert reader.asked == [("tail", 7, 1000), ("tail", 0, 100)]
    for position, limit in ((-1, 1), (0, -1), (0, 1001)):
        with pytest.raises(InvalidRequest):
            service.tail_audit(asked("TailAudit"), position, limit)
    told = [(event.rpc, event.outcome, dict(event.counts)) for event in harness.work.events]
    assert told == [("TailAudit", "allowed", {"ok": 1})] * 2 + [("TailAudit", "failed", {})] * 3


def test_a_checkpoint_that_cannot_be_made_is_recorded(harness: ServiceHarness) -> None:
    service = AuditService(Admission(harness.work, Budgets(harness.keys)), Reader())
    with pytest.raises(AuditUnavailable):
        service.checkpoint_audit(asked("CheckpointAudit"))
    assert [(event.rpc, event.outcome) for event in harness.work.events] == [
        ("CheckpointAudit", "failed")
    ]


def test_others_read_no_audit(harness: ServiceHarness) -> None:
    reader = Reader()
    service = AuditService(Admission(harness.work, Budgets(harness.keys)), reader)
    stranger = Caller(Principal("spiffe", "spiffe://example.org/x"), "peer", "01", "r", 5.0)
    for call in (
        lambda: service.tail_audit(asked("TailAudit", stranger), 0, 0),
        lambda: service.checkpoint_audit(asked("CheckpointAudit", stranger)),
        lambda: service.verify_audit(asked("VerifyAudit", stranger), "checkpoint"),
        lambda: service.prove_audit(asked("ProveAudit", stranger), 1, 1),
    ):
        with pytest.raises(Denied):
            call()
    assert reader.asked == []
    assert [event.outcome for event in harness.work.events] == ["denied"] * 4
