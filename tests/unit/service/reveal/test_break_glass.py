"""Values seen in an emergency, before anybody approves: bounded, told, and reviewed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.service.reveal.test_reveal_service import (
    ANALYST,
    CARDS,
    LEAD,
    OFFICER,
    TEXT,
    Harness,
    caller,
    refusal,
)
from vault.errors import BudgetExhausted, InvalidRequest, Reason
from vault.model import Action, Caller, ChargedBudget, Justification
from vault.policy.reading.load import parse_policy
from vault.service.notices.notices import Notices, Subscription
from vault.service.reveal.asking import RequestService
from vault.service.reveal.model import Reveal, State, Verdict
from vault.service.reveal.reveals import RevealService
from vault.service.reveal.status import RevealStatus

RULE = "approvals: [{of: lead, not_same_group: true}], grant_ttl: 1h"
EMERGENCY = "break_glass: {grant_ttl: 15m, budget: {values: 5, per: 1d}, review: {of: officer}}"
POLICY = TEXT.replace(RULE, f"budget: {{values: 1000, per: 1d}}, {RULE}, {EMERGENCY}", 1)


class Emergencies(Harness):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.alerts: list[Reveal] = []
        notices = Notices(self.keys, "/here", [Subscription("siem")])
        self.asking = RequestService(
            self.admission, self.keys, notices=notices, alert=self.alerts.append
        )
        self.reveals = RevealService(self.admission, self.keys, notices=notices)

    def break_glass(self, who: Caller = ANALYST, **changes: object) -> RevealStatus:
        return self.request(who=who, break_glass=True, **changes)  # type: ignore[arg-type]

    def again(self) -> RevealStatus:
        """One more, for which the budget has enough left."""
        return self.break_glass(tokens=self.cards[:1])

    def review(
        self, made: RevealStatus, who: Caller = OFFICER, comment: str = "it was needed"
    ) -> RevealStatus:
        call = self.call("ReviewReveal", who)
        return self.reveals.review(call, str(made.reveal.id), comment)


@pytest.fixture
def harness() -> Emergencies:
    assert POLICY != TEXT
    return Emergencies(parse_policy(POLICY, "policy.yaml"))


def test_values_are_seen_at_once_for_a_short_time(harness: Emergencies) -> None:
    made = harness.break_glass()
    assert made.state is State.GRANTED
    assert made.reveal.decisions == ()
    assert made.reveal.ends - made.reveal.created == timedelta(minutes=15)
    grant = str(made.reveal.id)
    assert harness.read(grant).values == CARDS
    assert refusal(lambda: harness.read(grant)).reason is Reason.GRANT_EXHAUSTED
    harness.review(made)
    later = harness.break_glass(tokens=harness.cards[:1])
    harness.clock.ahead = timedelta(minutes=15)
    assert refusal(lambda: harness.read(str(later.reveal.id))).reason is Reason.GRANT_EXPIRED


def test_it_is_alerted_told_and_marked(harness: Emergencies) -> None:
    made = harness.break_glass()
    harness.read(str(made.reveal.id))
    harness.review(made)
    assert [each.id for each in harness.alerts] == [made.reveal.id]
    told = [json.loads(row.event) for row in harness.work.waiting]
    assert [(each["type"], each["data"]["to"]) for each in told] == [
        ("tokenvault.reveal.break_glass", {"roles": ["lead", "officer"]}),
        ("tokenvault.reveal.reviewed", told[0]["data"]["requester"]),
    ]
    assert all(each["data"]["break_glass"] for each in told)
    marked = [(each.rpc, each.outcome) for each in harness.work.events if each.break_glass]
    assert marked == [
        ("RequestReveal", "allowed"),
        ("Detokenize", "allowed"),
        ("ReviewReveal", "allowed"),
    ]
    harness.granted()
    assert len(harness.alerts) == 1


def test_who_asks_for_approval_is_not_answered_with_an_emergencys_grant(
    harness: Emergencies,
) -> None:
    made = harness.break_glass()
    asked = harness.request()
    assert (asked.state, asked.reveal.break_glass) == (State.OPEN, False)
    assert asked.reveal.id != made.reveal.id


def test_nobody_has_a_second_one_before_the_review(harness: Emergencies) -> None:
    made = harness.break_glass(tokens=harness.cards[:1])
    again = refusal(lambda: harness.break_glass(tokens=harness.cards[1:2]))
    assert again.reason is Reason.REVIEW_REQUIRED
    assert str(made.reveal.id) in str(again)
    other = caller("ann", "fraud", subject="ann-2")
    assert refusal(lambda: harness.break_glass(who=other)).reason is Reason.REVIEW_REQUIRED
    harness.break_glass(who=caller("bob", "fraud"), tokens=harness.cards[1:2])
    # Whatever became of the grant.
    harness.clock.ahead = timedelta(days=30)
    assert refusal(harness.again).reason is Reason.REVIEW_REQUIRED
    assert harness.request().state is State.OPEN
    reviewed = harness.review(made)
    assert reviewed.state is State.EXPIRED
    assert [each.verdict for each in reviewed.reveal.decisions] == [Verdict.REVIEWED]
    assert harness.break_glass(tokens=harness.cards[1:2]).state is State.GRANTED
    assert len(harness.alerts) == 3


def test_a_revoked_one_is_reviewed_too_also_by_who_revoked_it(harness: Emergencies) -> None:
    made = harness.break_glass()
    grant = str(made.reveal.id)
    harness.reveals.revoke(harness.call("RevokeReveal", OFFICER), grant, "what for?")
    assert refusal(lambda: harness.read(grant)).reason is Reason.GRANT_REVOKED
    assert refusal(harness.again).reason is Reason.REVIEW_REQUIRED
    assert harness.review(made).state is State.REVOKED
    assert refusal(lambda: harness.review(made)).reason is Reason.ALREADY_DECIDED
    second = caller("otto", "officers")
    assert refusal(lambda: harness.review(made, second)).reason is Reason.REVEAL_CLOSED


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (ANALYST, Reason.DENIED),
        (LEAD, Reason.REVEAL_NOT_FOUND),
        (caller("ann", "officers", subject="ann-2"), Reason.SELF_APPROVAL),
        (replace(OFFICER, person=None), Reason.PERSON_REQUIRED),
        (caller("ann", "fraud", "officers"), Reason.SELF_APPROVAL),
    ],
)
def test_only_somebody_else_in_the_role_reviews(
    harness: Emergencies, who: Caller, reason: Reason
) -> None:
    made = harness.break_glass()
    assert refusal(lambda: harness.review(made, who)).reason is reason
    assert refusal(harness.again).reason is Reason.REVIEW_REQUIRED


def test_a_reviewer_in_the_requesters_group_may_not_count(harness: Emergencies) -> None:
    harness.change_policy("review: {of: officer}", "review: {of: officer, not_same_group: true}")
    made = harness.break_glass()
    both = caller("otto", "officers", "fraud")
    assert refusal(lambda: harness.review(made, both)).reason is Reason.SAME_GROUP
    assert not harness.review(made).reveal.awaits_review


def test_a_review_says_something(harness: Emergencies) -> None:
    made = harness.break_glass()
    for comment in ("", "  ", "two\nlines", "x" * 501):
        with pytest.raises(InvalidRequest):
            harness.review(made, comment=comment)
    assert refusal(harness.again).reason is Reason.REVIEW_REQUIRED


def test_what_was_approved_needs_no_review(harness: Emergencies) -> None:
    made = harness.approve(harness.request())
    assert refusal(lambda: harness.review(made)).reason is Reason.REVEAL_NOT_FOUND


def test_its_budget_is_its_own(harness: Emergencies) -> None:
    made = harness.break_glass()
    harness.read(str(made.reveal.id))
    asked, read = harness.work.events[-2:]
    assert asked.budget == ChargedBudget(Action.REQUEST_REVEAL, "")
    assert asked.counts == {"ok": 3}
    assert read.budget is None  # it was charged when it was asked for
    harness.review(made)
    over = refusal(harness.break_glass)
    assert isinstance(over, BudgetExhausted)
    assert len(harness.alerts) == 1
    harness.break_glass(tokens=harness.cards[:2])
    # Another person has it too, and an ordinary request does without.
    harness.break_glass(who=caller("bob", "fraud"))
    harness.read(harness.granted())
    assert harness.work.events[-1].budget == ChargedBudget(Action.DETOKENIZE, "full")


def test_an_ordinary_budget_that_is_used_up_does_not_stop_it(harness: Emergencies) -> None:
    harness.change_policy("values: 1000, per: 1d", "values: 1, per: 1d")
    refused = refusal(lambda: harness.read(harness.granted()))
    assert refused.reason is Reason.BUDGET_EXHAUSTED
    assert harness.read(str(harness.break_glass().reveal.id)).values == CARDS


def test_a_refused_one_charges_and_tells_nothing(harness: Emergencies) -> None:
    made = harness.break_glass(tokens=harness.cards[:1])
    waiting = len(harness.work.waiting)
    for _ in range(10):
        refusal(lambda: harness.break_glass(tokens=harness.cards[1:2]))
    assert len(harness.work.waiting) == waiting
    harness.review(made)
    harness.break_glass(tokens=[*harness.cards, harness.cards[0]])  # 4 of 5 are left


@pytest.mark.parametrize("changes", [{"more": True}, {"times": 2}])
def test_it_is_one_request_that_shows_each_token_once(
    harness: Emergencies, changes: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest):
        harness.break_glass(**changes)  # type: ignore[arg-type]
    assert harness.alerts == []


def test_a_draft_does_not_become_one(harness: Emergencies) -> None:
    draft = harness.request(more=True)
    with pytest.raises(InvalidRequest):
        harness.break_glass(reveal=str(draft.reveal.id))


def test_a_rule_without_it_has_none(harness: Emergencies) -> None:
    # The rule is of both fields.
    made = harness.break_glass(field="account", tokens=harness.account)
    assert made.reveal.break_glass
    harness.review(made)
    harness.change_policy(f", {EMERGENCY}", "")
    refused = refusal(harness.break_glass)
    assert refused.reason is Reason.BREAK_GLASS_NOT_ALLOWED
    recorded = harness.work.events[-1]
    assert (recorded.outcome, recorded.reason) == ("denied", "BREAK_GLASS_NOT_ALLOWED")


def test_a_policy_that_takes_it_away_ends_what_was_granted(harness: Emergencies) -> None:
    grant = str(harness.break_glass().reveal.id)
    before = harness.policy
    harness.change_policy("grant_ttl: 15m", "grant_ttl: 1s")
    harness.clock.ahead = timedelta(seconds=2)
    assert refusal(lambda: harness.read(grant)).reason is Reason.GRANT_EXPIRED
    harness.policy = before
    harness.change_policy(f", {EMERGENCY}", "")
    assert refusal(lambda: harness.read(grant)).reason is Reason.GRANT_INVALID
    harness.policy = before
    assert harness.read(grant).values == CARDS


def test_conditions_hold_in_an_emergency_too(harness: Emergencies) -> None:
    refused = refusal(lambda: harness.break_glass(justification=Justification("")))
    assert refused.reason is Reason.PURPOSE_REQUIRED
    nobody = replace(ANALYST, person=None)
    assert refusal(lambda: harness.break_glass(who=nobody)).reason is Reason.PERSON_REQUIRED


def test_who_must_review_sees_it_until_it_is_reviewed(harness: Emergencies) -> None:
    made = harness.break_glass()
    (seen,) = harness.reveals.list(harness.call("ListReveals", OFFICER))
    assert (seen.reveal.id, seen.may_review, seen.may_decide) == (made.reveal.id, True, False)
    assert harness.reveals.list(harness.call("ListReveals", LEAD)) == []
    call = harness.call("GetReveal", OFFICER)
    assert harness.reveals.get(call, str(made.reveal.id)).may_review
    assert not made.may_review
    harness.review(made)
    assert harness.reveals.list(harness.call("ListReveals", OFFICER)) == []


def test_a_row_whose_mark_was_changed_is_refused(harness: Emergencies) -> None:
    made = harness.break_glass()
    key = ("default", made.reveal.id)
    stored = harness.work._tables.reveals[key]
    assert stored.awaits_review
    harness.work._tables.reveals[key] = replace(stored, awaits_review=False)
    assert refusal(lambda: harness.read(str(made.reveal.id))).reason is Reason.GRANT_INVALID
    assert refusal(lambda: harness.review(made)).reason is Reason.GRANT_INVALID
    # One that claims to await a review, and was not written by us, lets nobody go on.
    harness.work._tables.reveals[key] = replace(stored, mac=bytes(32))
    bob = caller("bob", "fraud")
    assert refusal(lambda: harness.break_glass(who=bob)).reason is Reason.GRANT_INVALID
