"""Approvals in the policy: what a rule asks for, who could never give it, and what it decides."""

from __future__ import annotations

from datetime import timedelta

import pytest

from vault.errors import Reason
from vault.model import Action, Group, Principal
from vault.policy.approvals import Approvals, ApproverGroup, BreakGlass
from vault.policy.conditions import CallContext
from vault.policy.decide import Allow, Deny, decide
from vault.policy.explain import explain
from vault.policy.limits import Quota
from vault.policy.lint import lint
from vault.policy.model import Policy
from vault.policy.reading.load import InvalidPolicy, parse_policy

ISSUER = "https://idp.example.org"
TEXT = """\
version: 1
fields:
  card: {format: card, min: 15, generator: ff1}
  ssn: {format: us_ssn, generator: ff1}
roles:
  analyst:
    - {fields: [card], allow: [detokenize], view: last4}
    - {fields: [card], allow: [request_reveal, detokenize], view: full, purposes: [fraud], approvals: APPROVALS, grant_ttl: 1h}
  lead: [{fields: [card], allow: [approve_reveal]}]
  officer: [{fields: ["*"], allow: [approve_reveal]}]
  auditor: [{allow: [read_audit]}]
principals:
  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: groups, value: fraud}, roles: [analyst]}
  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: groups, value: leads}, roles: [lead]}
  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: sub, value: o}, roles: [officer]}
"""  # noqa: E501
ONE = "[{of: lead}]"
FRAUD = "claim: groups, value: fraud}, roles: [analyst]}"


def policy(approvals: str = ONE, *changes: tuple[str, str]) -> Policy:
    text = TEXT.replace("APPROVALS", approvals)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_policy(text, "policy.yaml")


def analyst() -> Principal:
    return Principal(ISSUER, "a", frozenset({Group(ISSUER, "v", "groups", "fraud")}))


def test_a_rule_asks_for_approvals() -> None:
    made = policy("[{of: lead, count: 2, not_same_group: true}, {of: officer}]")
    groups = ApproverGroup("lead", 2, not_same_group=True), ApproverGroup("officer")
    assert made.roles["analyst"].rules[1].conditions.approvals == Approvals(
        groups, timedelta(hours=1)
    )


def test_what_needs_a_grant_says_so() -> None:
    made, context = policy(), CallContext("fraud")
    for action in (Action.DETOKENIZE, Action.REQUEST_REVEAL):
        decision = decide(made, analyst(), action, "card", "full", context)
        assert isinstance(decision, Allow)
        assert [str(each) for each in decision.approvals] == ["1 x lead"]
    free = decide(made, analyst(), Action.DETOKENIZE, "card", "last4", context)
    assert free == Allow(("analyst",), "last4")
    asked = decide(made, analyst(), Action.REQUEST_REVEAL, "card", "full")
    assert isinstance(asked, Deny)
    assert asked.reason is Reason.PURPOSE_REQUIRED
    lines = list(explain(made, analyst(), Action.DETOKENIZE, "card", "full", context).lines("p"))
    assert lines[1] == "with a grant that was approved by 1 x lead"


@pytest.mark.parametrize(
    ("approvals", "problem"),
    [
        ("[{of: leed}]", "there is no role 'leed': did you mean 'lead'?"),
        ("[{of: analyst}]", "the role approves its own requests"),
        ("[{of: auditor}]", "can never be met: auditor may not approve_reveal on card"),
        ("[{of: officer, count: 2}]", "can never be met: it takes 2 people, and 1 hold officer"),
        ("[{of: lead}, {of: lead}]", "names a role twice"),
        ("[{of: lead, count: 0}]", "must be a whole number from 1 to 10"),
        ("[{count: 1}]", "has no 'of'"),
        ("{of: lead}", "must be a list"),
        ("[]", "is an empty list"),
    ],
)
def test_approvals_that_cannot_be_are_refused(approvals: str, problem: str) -> None:
    with pytest.raises(InvalidPolicy, match=r"roles\.analyst") as caught:
        policy(approvals)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (", grant_ttl: 1h", "", "has approvals and no grant_ttl"),
        ("approvals: [{of: lead}], ", "", "has grant_ttl and no approvals"),
        ("approvals: [{of: lead}], grant_ttl: 1h", "", "says nobody who approves"),
        ("grant_ttl: 1h", "grant_ttl: 31d", "up to 30d"),
        ("[request_reveal, detokenize]", "[detokenize]", "so it allows request_reveal and"),
        ("[request_reveal, detokenize]", "[request_reveal]", "so it allows request_reveal and"),
        ("[request_reveal, detokenize]", "[request_reveal, encrypt]", "so it allows request_r"),
        ("value: leads}, roles: [lead]", "value: leads}, roles: [lead, analyst]", "themselves"),
        (
            "  - {jwt: {issuer: \"https://idp.example.org\", audience: v, claim: groups, "
            "value: leads}, roles: [lead]}",
            '  - {spiffe: "spiffe://example.org/lead", roles: [lead]}',
            "can never be met: nobody with a JWT holds lead",
        ),
        ("lead: [{fields: [card]", "lead: [{fields: [ssn]", "may not approve_reveal on card"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused(old: str, new: str, problem: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        policy(ONE, (old, new))
    assert problem in str(caught.value)


def test_a_denial_of_the_approving_role_counts() -> None:
    denied = "lead: [{fields: [card], deny: [approve_reveal]}, {fields: [card], allow: [approve_"
    with pytest.raises(InvalidPolicy, match="may not approve_reveal on card"):
        policy(ONE, ("lead: [{fields: [card], allow: [approve_", denied))


def test_two_of_request_approve_and_read_audit_are_warned_of() -> None:
    made = policy(ONE, ("roles: [officer]", "roles: [officer, auditor]"))
    texts = [each.message for each in lint(made) if each.path == "principals[2]"]
    assert any("holds approve_reveal, read_audit together" in text for text in texts)
    assert not any("three people" in each.message for each in lint(policy()))


def problem(approvals: str, *changes: tuple[str, str]) -> str:
    with pytest.raises(InvalidPolicy) as caught:
        policy(approvals, *changes)
    return str(caught.value)


def test_a_rule_that_no_person_holds_can_never_be_met() -> None:
    workload = '  - {spiffe: "spiffe://example.org/a", roles: [analyst]}'
    line = f'  - {{jwt: {{issuer: "{ISSUER}", audience: v, {FRAUD}'
    assert "only callers with a certificate hold analyst" in problem(ONE, (line, workload))
    policy(ONE, (line, f"{line}\n{workload}"))  # people hold it too
    policy(ONE, (f"{line}\n", ""))  # nobody does yet: a warning


def test_one_person_cannot_give_two_approvals() -> None:
    both = ("value: leads}, roles: [lead]", "value: leads}, roles: [lead, officer]")
    subject = ("claim: groups, value: leads", "claim: sub, value: o2")
    asked = "[{of: lead}, {of: officer}]"
    policy(asked, both, subject)
    one = ('  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: sub, value: o}, ', "")
    told = problem(asked, both, subject, (f"{one[0]}roles: [officer]}}\n", ""))
    assert "it takes 2 people, each counts once, and fewer hold these roles together" in told
    policy(asked, both, (f"{one[0]}roles: [officer]}}\n", ""))  # of a group nobody knows


BREAK_GLASS = "grant_ttl: 1h, break_glass: {grant_ttl: 15m, budget: {values: 20, per: 1d}, review: {of: officer}}"  # noqa: E501


def test_a_rule_may_be_broken_in_an_emergency() -> None:
    made = policy(ONE, ("grant_ttl: 1h", BREAK_GLASS))
    approvals = made.roles["analyst"].rules[1].conditions.approvals
    assert approvals is not None
    assert approvals.break_glass == BreakGlass(
        timedelta(minutes=15), (Quota(86_400, 20),), ApproverGroup("officer")
    )
    described = dict(made.roles["analyst"].rules[1].conditions.described())
    assert described["break_glass"] == "20 per 1d, for 15m, reviewed by 1 x officer"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{of: officer}", "{of: analyst}", "the role approves its own requests"),
        ("{of: officer}", "{of: oficer}", "there is no role 'oficer': did you mean 'officer'?"),
        ("{of: officer}", "{of: auditor}", "can never be met: auditor may not approve_reveal"),
        ("{of: officer}", "{of: officer, count: 2}", "count"),
        (", review: {of: officer}", "", "review"),
        ("budget: {values: 20, per: 1d}, ", "", "budget"),
        ("budget: {values: 20, per: 1d}", "budget: {values: 0, per: 1d}", "values"),
        ("grant_ttl: 15m, ", "", "grant_ttl"),
        ("grant_ttl: 15m", "grant_ttl: 2d", "up to 1d"),
        ("15m, budget", "15m, views: full, budget", "views"),
        ("approvals: [{of: lead}], grant_ttl: 1h, ", "", "beside 'approvals'"),
        ("roles: [officer]", "roles: [officer, analyst]", "could approve what they ask for"),
    ],
)
def test_an_emergency_that_nobody_can_review_is_refused(old: str, new: str, said: str) -> None:
    assert said in problem(ONE, ("grant_ttl: 1h", BREAK_GLASS), (old, new))
