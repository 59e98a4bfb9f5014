"""Requests of reveals through all orders of steps, against a model written from the requirement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vault.errors import Denied, InvalidRequest, Reason
from vault.model import Person
from vault.policy.approvals import Approvals, Approved, ApproverGroup
from vault.service.reveal import lifecycle
from vault.service.reveal.model import MAX_PARTS, Participant, Reveal, State

NOW = datetime(2026, 11, 28, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEADS = ApproverGroup("lead", 2, not_same_group=True)
OFFICER = ApproverGroup("officer")
ASKED = Approvals((LEADS, OFFICER), 2 * HOUR)


def person(name: str) -> Person:
    return Person("https://idp.example.org", "email", name)


def participant(
    name: str, *roles: str, groups: tuple[str, ...] = (), subject: str = ""
) -> Participant:
    return Participant(
        subject or f"idp#{name}", person(name), frozenset(groups), frozenset(roles), bool(roles)
    )


ANALYST = participant("analyst", groups=("fraud",))
PEOPLE = {
    "lead1": participant("lead1", "lead"),
    "lead2": participant("lead2", "lead"),
    "lead1-again": participant("lead1", "lead", "officer", subject="idp#another"),
    "inner": participant("inner", "lead", groups=("fraud", "leads")),
    "officer": participant("officer", "officer", groups=("fraud",)),
    "both": participant("both", "lead", "officer"),
    "analyst": ANALYST,
    "analyst-again": participant("analyst", "lead", "officer", subject="idp#second"),
    "nobody": participant("nobody", "other"),
    "workload": Participant("spiffe", None, frozenset(), frozenset({"lead"}), True),
}


def request(tokens: int = 3, times: int = 1) -> Reveal:
    return Reveal(
        tenant="default", id=UUID(int=1), field="card", view="full", shows="full",
        purpose="fraud_case", ticket="", reason="why", principal=ANALYST.principal,
        person=person("analyst"), groups=frozenset(ANALYST.groups), roles=frozenset({"analyst"}),
        policy_digest="0" * 64, approvals=ASKED, lifetime=HOUR, times=times, created=NOW,
        ends=NOW + HOUR, tokens=tokens,
    )  # fmt: skip


class Lifecycle(RuleBasedStateMachine):
    """The model: a set of people per group, one state, one end; nothing of the code's own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.reveal = request()
        self.state = "draft"
        self.ends = self.reveal.ends
        self.decided: set[Person] = set()
        self.leads: set[Person] = set()
        self.officers: set[Person] = set()
        self.shown = 0

    def current(self) -> str:
        if self.state == "granted" and self.shown == 3:
            return "exhausted"
        live = self.state in ("draft", "open", "granted")
        return "expired" if live and self.now >= self.ends else self.state

    def attempt(self, step: Callable[[], Reveal], refusal: Reason | None) -> bool:
        try:
            self.reveal = step()
        except Denied as error:
            assert error.reason is refusal, (error.reason, refusal)
            return False
        assert refusal is None, refusal
        return True

    def why_not(self, name: str) -> Reason | None:
        """Who may decide, as the requirement has it."""
        if name in ("analyst", "nobody"):
            return Reason.REVEAL_NOT_FOUND  # without a role that approves
        if name == "workload":
            return Reason.PERSON_REQUIRED
        if name == "analyst-again":
            return Reason.SELF_APPROVAL
        if name == "inner":
            return Reason.SAME_GROUP
        if PEOPLE[name].person in self.decided:
            return Reason.ALREADY_DECIDED
        return None

    @rule(minutes=st.sampled_from([1, 30, 60, 24 * 60, 8 * 24 * 60]))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def submit(self) -> None:
        closed = None if self.current() == "draft" else Reason.REVEAL_CLOSED
        if self.attempt(lambda: lifecycle.open_request(self.reveal, self.now), closed):
            self.state, self.ends = "open", self.now + lifecycle.OPEN_FOR

    @rule(name=st.sampled_from(sorted(PEOPLE)))
    def approve(self, name: str) -> None:
        refusal = self.why_not(name) if self.current() == "open" else Reason.REVEAL_CLOSED
        who = PEOPLE[name]
        step = lambda: lifecycle.approve(self.reveal, who, [ASKED], self.now, "")  # noqa: E731
        if not self.attempt(step, refusal):
            return
        assert who.person is not None
        self.decided.add(who.person)
        if "lead" in who.roles:
            self.leads.add(who.person)
        if "officer" in who.roles:
            self.officers.add(who.person)
        # Two leads and an officer, three people: nobody stands in for two.
        enough = len(self.leads | self.officers) >= 3
        if enough and len(self.leads) >= 2 and self.officers:
            self.state, self.ends = "granted", self.now + HOUR

    @rule(name=st.sampled_from(sorted(PEOPLE)))
    def deny(self, name: str) -> None:
        refusal = self.why_not(name) if self.current() == "open" else Reason.REVEAL_CLOSED
        who = PEOPLE[name]
        if self.attempt(lambda: lifecycle.deny(self.reveal, who, self.now, "no"), refusal):
            self.state = "denied"

    @rule(name=st.sampled_from(["analyst", "analyst-again", "lead1"]))
    def withdraw(self, name: str) -> None:
        refusal = None if self.current() in ("draft", "open") else Reason.REVEAL_CLOSED
        if name != "analyst":
            refusal = Reason.REVEAL_NOT_FOUND
        who = PEOPLE[name]
        if self.attempt(lambda: lifecycle.withdraw(self.reveal, who, self.now), refusal):
            self.state = "withdrawn"

    @rule(name=st.sampled_from(["analyst", "lead1", "inner", "nobody", "workload"]))
    def revoke(self, name: str) -> None:
        refusal = None if self.current() == "granted" else Reason.REVEAL_CLOSED
        if name in ("nobody", "workload"):
            refusal = Reason.REVEAL_NOT_FOUND
        who = PEOPLE[name]
        if self.attempt(lambda: lifecycle.revoke(self.reveal, who, self.now, ""), refusal):
            self.state = "revoked"

    @precondition(lambda self: self.current() == "granted")
    @rule()
    def show(self) -> None:
        lifecycle.check_grant(self.reveal, [ASKED], self.now)
        spent = (self.reveal.spent[0] + 1, *self.reveal.spent[1:])
        self.reveal = replace(self.reveal, spent=spent)
        self.shown += 1

    @invariant()
    def is_in_the_models_state(self) -> None:
        assert self.reveal.state_at(self.now) == self.current()

    @invariant()
    def is_good_only_while_granted(self) -> None:
        reasons = {"expired": Reason.GRANT_EXPIRED, "revoked": Reason.GRANT_REVOKED}
        reasons["exhausted"] = Reason.GRANT_EXHAUSTED
        if self.current() == "granted":
            lifecycle.check_grant(self.reveal, [], self.now)
            return
        with pytest.raises(Denied) as caught:
            lifecycle.check_grant(self.reveal, [], self.now)
        was_granted = self.reveal.granted is not None
        wanted = reasons.get(self.current(), Reason.GRANT_INVALID) if was_granted else None
        assert caught.value.reason is (wanted or Reason.GRANT_INVALID)


TestLifecycle = Lifecycle.TestCase


def granted(approvals: Approvals = ASKED) -> Reveal:
    reveal = lifecycle.open_request(replace(request(), approvals=approvals), NOW)
    for name in ("lead1", "lead2", "officer"):
        reveal = lifecycle.approve(reveal, PEOPLE[name], [approvals], NOW, "")
    assert reveal.state is State.GRANTED
    return reveal


def test_a_later_policy_narrows_a_grant_and_never_widens_it() -> None:
    reveal = granted()
    shorter = replace(ASKED, grant_ttl=HOUR / 2)
    lifecycle.check_grant(reveal, [shorter], NOW + HOUR / 3)
    with pytest.raises(Denied, match="expired"):
        lifecycle.check_grant(reveal, [shorter], NOW + HOUR / 2)
    with pytest.raises(Denied, match="expired"):
        lifecycle.check_grant(reveal, [replace(ASKED, grant_ttl=9 * HOUR)], NOW + HOUR)
    more = Approvals((LEADS, OFFICER, ApproverGroup("board")), HOUR)
    with pytest.raises(Denied, match="other approvals"):
        lifecycle.check_grant(reveal, [more], NOW)
    lifecycle.check_grant(reveal, [more, ASKED], NOW)


def test_approvals_meet_what_both_policies_ask_for() -> None:
    easier = Approvals((OFFICER,), 9 * HOUR)
    reveal = lifecycle.open_request(request(), NOW)
    reveal = lifecycle.approve(reveal, PEOPLE["officer"], [easier], NOW, "")
    assert reveal.state is State.OPEN
    with pytest.raises(Denied, match="no longer allows"):
        lifecycle.approve(reveal, PEOPLE["lead1"], [], NOW, "")
    harder = Approvals((LEADS, OFFICER, ApproverGroup("board")), HOUR)
    for name in ("lead1", "lead2"):
        reveal = lifecycle.approve(reveal, PEOPLE[name], [harder], NOW, "")
    assert reveal.state is State.OPEN


def test_a_request_without_tokens_is_not_submitted() -> None:
    with pytest.raises(InvalidRequest, match="no tokens"):
        lifecycle.open_request(request(tokens=0), NOW)


def test_a_comment_is_one_short_line() -> None:
    reveal = lifecycle.open_request(request(), NOW)
    for comment in ("a\nb", "x" * 501, "\x1b[2J"):
        with pytest.raises(InvalidRequest, match="one line"):
            lifecycle.deny(reveal, PEOPLE["lead1"], NOW, comment)


def test_each_approval_takes_one_seat_whatever_roles_it_has() -> None:
    lead, both = Approved(frozenset({"lead"}), True), Approved(frozenset({"lead", "officer"}), True)
    assert ASKED.missing([both]) == ("lead", "officer")
    assert ASKED.missing([both, lead]) == ("officer",)
    assert ASKED.met_by([both, lead, lead])
    assert ASKED.met_by([lead, lead, both])
    assert not ASKED.met_by([lead, lead, lead, lead])
    assert not ASKED.met_by([both, lead, Approved(frozenset({"lead"}), False)])
    assert ASKED.people == 3
    assert str(ASKED) == "2 x lead of another group and 1 x officer"


def test_what_was_shown_counts_over_all_parts() -> None:
    assert replace(request(4, 2), spent=(1,) * 8 + (0,) * (MAX_PARTS - 8)).left == 0
