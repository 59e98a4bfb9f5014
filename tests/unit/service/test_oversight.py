"""What auditors do, one verification at a time."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from vault.errors import Reason, Unavailable
from vault.model import Caller, Principal
from vault.policy.load import parse_policy
from vault.service.admission import Admission
from vault.service.oversight import AuditReport, OversightService

if TYPE_CHECKING:
    from tests.unit.service.conftest import House

POLICY = parse_policy(
    "version: 1\nfields: {ssn: {format: us_ssn, generator: ff1}}\n"
    "roles: {auditor: [{allow: [read_audit]}]}\n"
    'principals: [{spiffe: "spiffe://example.org/auditor", roles: [auditor]}]\n',
    "auditors",
)
AUDITOR = Caller(Principal("spiffe", "spiffe://example.org/auditor"), "peer", "01", "r", 5.0)


class SlowVerifier:
    """Verifies until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = Event(), Event()
        self.deadlines: list[float | None] = []

    def verify(self, *, deadline: float | None = None) -> AuditReport:
        self.deadlines.append(deadline)
        self.begun.set()
        assert self.go_on.wait(10)
        return AuditReport(0, 0, ())


def test_a_second_verification_is_refused_while_one_runs(house: House) -> None:
    verifier = SlowVerifier()
    service = OversightService(Admission(house.work), verifier)
    first = Thread(target=service.verify_audit, args=(AUDITOR, POLICY))
    first.start()
    assert verifier.begun.wait(10)

    with pytest.raises(Unavailable) as caught:
        service.verify_audit(AUDITOR, POLICY)

    verifier.go_on.set()
    first.join(10)
    assert caught.value.reason is Reason.OVERLOADED
    assert service.verify_audit(AUDITOR, POLICY).findings == ()
    assert verifier.deadlines == [5.0, 5.0]
    assert [event.outcome for event in house.work.events].count("failed") == 1
