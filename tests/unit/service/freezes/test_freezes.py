"""Freezing by hand, lifting by another person, looking on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.service.conftest import Clock, FixedKeys
from vault.errors import Reason, TokenvaultError
from vault.model import Caller, FreezeTarget, Person, Principal
from vault.policy.reading.load import parse_policy
from vault.rpc.methods.freezes import freeze_rpcs
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.freezes.freezes import FreezeService, FreezeStatus
from vault.service.freezes.rows import FreezeRows
from vault.service.freezes.watch import FreezeWatch
from vault.testing.store import MemoryUnitOfWork
from vault.v1 import freeze_service_pb2 as pb

POLICY = parse_policy(
    """
version: 1
fields: {ssn: {format: us_ssn, generator: ff1}}
roles:
  guard: [{allow: [manage_freezes]}]
  pipeline: [{fields: [ssn], allow: [tokenize]}]
principals:
  - {spiffe: "spiffe://example.org/guard", roles: [guard]}
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
""",
    "policy",
)
LEA = Person("idp", "oid", "lea")
ANN = Person("idp", "oid", "ann")
PIPELINE = FreezeTarget.of_principal("spiffe://example.org/pipeline")


class Site:
    def __init__(self) -> None:
        self.keys, self.clock = FixedKeys(), Clock()
        self.work = MemoryUnitOfWork(self.clock)
        self.rows = FreezeRows(self.keys)
        self.refused: list[tuple[FreezeTarget, str]] = []
        self.now = 100.0
        self.watch = FreezeWatch(
            self.rows, lambda *why: self.refused.append(why), clock=lambda: self.now
        )
        admission = Admission(self.work, Budgets(self.keys))
        self.service = FreezeService(admission, self.rows, self.watch)
        self.refresh()

    def refresh(self) -> None:
        self.now += 1
        rows = self.work.run(lambda transaction: transaction.freezes.all("default"))
        self.watch.refresh(rows, self.now)
        self.now += 1

    def forget(self, target: FreezeTarget) -> None:
        """As the database's owner."""
        self.work.run(lambda each: each.freezes.remove("default", *target))

    def freeze(self, target: FreezeTarget = PIPELINE, name: str = "guard") -> FreezeStatus:
        return self.service.freeze(call("Freeze", name), lambda: target, "odd calls")

    def lift(self, target: FreezeTarget = PIPELINE, person: Person | None = LEA) -> FreezeStatus:
        return self.service.lift(call("LiftFreeze", "guard", person), lambda: target, "cleared")


def caller(name: str, person: Person | None = None) -> Caller:
    principal = Principal("spiffe", f"spiffe://example.org/{name}")
    return Caller(principal, "peer", "01", "r-1", person=person)


def call(rpc: str, name: str, person: Person | None = None) -> Call:
    return Call(rpc, caller(name, person), POLICY)


def refusal(site: Site, who: Caller) -> Reason | None:
    try:
        site.watch.check(who)
    except TokenvaultError as error:
        return error.reason
    return None


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_frozen_principal_is_refused_until_another_person_lifts_it(site: Site) -> None:
    assert refusal(site, caller("pipeline")) is None
    made = site.freeze().freeze
    assert (made.frozen, made.by, made.reason) == (True, "spiffe://example.org/guard", "odd calls")
    assert refusal(site, caller("pipeline")) is Reason.PRINCIPAL_FROZEN
    assert refusal(site, caller("guard")) is None
    site.refresh()
    assert refusal(site, caller("pipeline")) is Reason.PRINCIPAL_FROZEN
    assert not site.lift().freeze.frozen
    assert refusal(site, caller("pipeline")) is None
    site.refresh()
    assert refusal(site, caller("pipeline")) is None
    assert site.refused == []


def test_a_frozen_person_is_refused_under_every_identity(site: Site) -> None:
    site.freeze(FreezeTarget.of_person(ANN))
    for name in ("one", "two"):
        assert refusal(site, caller(name, ANN)) is Reason.PRINCIPAL_FROZEN
    assert refusal(site, caller("one", LEA)) is None
    assert refusal(site, caller("one")) is None


def test_nobody_lifts_their_own_freeze_and_no_workload_any(site: Site) -> None:
    site.freeze()
    site.freeze(FreezeTarget.of_person(ANN))
    site.freeze(FreezeTarget.of_principal("spiffe://example.org/guard"))
    for target, person, reason in (
        (PIPELINE, None, Reason.PERSON_REQUIRED),
        (FreezeTarget.of_person(ANN), ANN, Reason.SELF_UNFREEZE),
        (FreezeTarget.of_principal("spiffe://example.org/guard"), LEA, Reason.SELF_UNFREEZE),
        (FreezeTarget.of_principal("nobody"), LEA, Reason.FREEZE_NOT_FOUND),
    ):
        with pytest.raises(TokenvaultError) as caught:
            site.lift(target, person)
        assert caught.value.reason is reason
        assert site.work.events[-1].reason == reason
        assert site.work.events[-1].outcome != "allowed"


def test_a_lifted_freeze_is_not_lifted_twice(site: Site) -> None:
    site.freeze()
    site.lift()
    with pytest.raises(TokenvaultError) as caught:
        site.lift()
    assert caught.value.reason is Reason.FREEZE_NOT_FOUND


def test_who_has_no_right_freezes_nobody(site: Site) -> None:
    with pytest.raises(TokenvaultError) as caught:
        site.freeze(name="pipeline")
    assert caught.value.reason is Reason.DENIED
    assert site.work.events[-1].freeze is None


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "x" * 501])
def test_a_change_has_a_reason_in_one_line(site: Site, reason: str) -> None:
    with pytest.raises(TokenvaultError) as caught:
        site.service.freeze(call("Freeze", "guard"), lambda: PIPELINE, reason)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert (site.work.events[-1].outcome, site.work.events[-1].freeze) == ("failed", None)


def test_each_change_is_recorded_and_freezing_again_changes_nothing(site: Site) -> None:
    first = site.freeze().freeze
    again = site.freeze().freeze
    lifted = site.lift().freeze
    assert again == first
    changes = [event.freeze for event in site.work.events]
    assert changes == [
        (PIPELINE, True, first.changed),
        None,
        (PIPELINE, False, lifted.changed),
    ]


def test_a_change_is_later_than_the_one_before_whatever_the_clock_says(site: Site) -> None:
    first = site.freeze().freeze
    site.clock.ahead = timedelta(days=-1)
    lifted = site.lift().freeze
    assert first.changed is not None
    assert lifted.changed == first.changed + timedelta(microseconds=1)


def test_all_are_listed_and_a_row_that_is_not_ours_is_called_so(site: Site) -> None:
    site.freeze()
    forged = replace(site.rows.written(site.freeze().freeze), name="x", frozen=False)
    site.work.run(lambda transaction: transaction.freezes.insert(forged))
    listed = {each.freeze.target.name: each for each in site.service.list(call("L", "guard"))}
    assert not listed[PIPELINE.name].forged
    assert (listed["x"].forged, listed["x"].freeze.frozen) == (True, True)
    assert site.work.events[-1].counts == {"ok": 2}


@pytest.mark.parametrize(
    "name", ["", "x", "[1,2,3]", '["a","b"]', '["\\ud800","b","c"]', "{}", "[" * 5000]
)
def test_a_row_that_names_nobody_is_listed_too(site: Site, name: str) -> None:
    named = replace(site.rows.written(site.freeze().freeze), kind="person", name=name)
    site.work.run(lambda transaction: transaction.freezes.insert(named))
    *_, listing = freeze_rpcs(site.service)
    answer = listing.bind(b"").run(call("ListFreezes", "guard")).encoded
    listed = pb.ListFreezesResponse.FromString(answer).freezes
    forged = {each.target.principal: each.forged for each in listed}
    assert forged == {PIPELINE.name: False, name: True}


def test_a_person_lifts_what_a_row_that_is_not_ours_froze(site: Site) -> None:
    site.freeze()
    row = site.rows.written(site.freeze().freeze)
    site.work.run(lambda each: each.freezes.update(replace(row, frozen=False)))
    site.refresh()
    assert site.refused == [(PIPELINE, "was not written by a server")]
    assert refusal(site, caller("pipeline")) is Reason.PRINCIPAL_FROZEN
    site.lift()
    site.refresh()
    assert refusal(site, caller("pipeline")) is None


def test_a_freeze_whose_row_is_gone_can_be_lifted_where_it_is_known(site: Site) -> None:
    site.freeze()
    site.forget(PIPELINE)
    site.refresh()
    assert site.refused == [(PIPELINE, "is gone")]
    site.lift()
    site.refresh()
    assert refusal(site, caller("pipeline")) is None
