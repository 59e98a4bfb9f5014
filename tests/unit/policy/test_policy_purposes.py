"""Purposes and tickets: what is read, what is refused, and how a call is judged by them."""

from __future__ import annotations

import pytest

from vault.errors import Reason
from vault.model import Action, Principal
from vault.policy.conditions import CallContext
from vault.policy.decide import Allow, Decision, Deny, decide
from vault.policy.diff import diff
from vault.policy.explain import explain
from vault.policy.lint import lint
from vault.policy.model import Policy
from vault.policy.reading.load import InvalidPolicy, Problem, parse_policy

FIELDS = """version: 1
fields:
  card: {format: card, generator: random, views: {last4: {show_last: 4}}}
  ssn: {format: us_ssn, generator: ff1}
"""
PURPOSES = """purposes:
  fraud_case: A reported fraud that is being investigated
  chargeback: A payment that the cardholder disputes
"""
WHO = Principal("spiffe", "spiffe://example.org/x")
FULL = "fields: [card], allow: [detokenize], view: full"


def policy(*rules: str, head: str = FIELDS) -> Policy:
    roles = "".join(f"  r{at}: [{{{rule}}}]\n" for at, rule in enumerate(rules))
    held = ", ".join(f"r{at}" for at in range(len(rules)))
    principals = f"principals: [{{spiffe: '{WHO.subject}', roles: [{held}]}}]\n"
    return parse_policy(f"{head}roles:\n{roles}{principals}", "policy.yaml")


def ask(made: Policy, view: str = "", *, purpose: str = "", ticket: str = "") -> Decision:
    context = CallContext(purpose, ticket)
    return decide(made, WHO, Action.DETOKENIZE, "card", view, context)


def refused(decision: Decision) -> Reason:
    assert isinstance(decision, Deny), decision
    return decision.reason


def problem(*rules: str, head: str = FIELDS) -> Problem:
    with pytest.raises(InvalidPolicy) as caught:
        policy(*rules, head=head)
    (found,) = caught.value.problems
    return found


def test_a_rule_with_purposes_takes_one_of_them_and_nothing_else() -> None:
    made = policy(f"{FULL}, purposes: [fraud_case, chargeback]")
    assert (
        ask(made, purpose="fraud_case") == ask(made, purpose="chargeback") == Allow(("r0",), "full")
    )
    assert refused(ask(made)) is Reason.PURPOSE_REQUIRED
    for other in ("marketing", "Fraud_case", "fraud_case ", "4111111111111111", "fraud_case\n"):
        decision = ask(made, purpose=other)
        assert refused(decision) is Reason.PURPOSE_NOT_ALLOWED
        assert other not in str(decision)


def test_the_token_and_every_view_take_the_purpose_too() -> None:
    made = policy(f"{FULL}, purposes: [fraud_case]")
    for view in ("full", "last4", "token"):
        assert refused(ask(made, view)) is Reason.PURPOSE_REQUIRED
        assert ask(made, view, purpose="fraud_case") == Allow(("r0",), view)


def test_a_purpose_of_another_rule_is_known_and_not_allowed() -> None:
    made = policy(
        f"{FULL}, purposes: [fraud_case]",
        "fields: [ssn], allow: [detokenize], view: full, purposes: [tax]",
    )
    assert refused(ask(made, purpose="tax")) is Reason.PURPOSE_NOT_ALLOWED


def test_a_rule_without_purposes_takes_those_that_the_policy_knows() -> None:
    made = policy(FULL, head=FIELDS + PURPOSES)
    assert ask(made) == ask(made, purpose="chargeback") == Allow(("r0",), "full")
    assert refused(ask(made, purpose="chargebakc")) is Reason.PURPOSE_NOT_ALLOWED


def test_a_ticket_is_matched_as_a_whole() -> None:
    made = policy(f"{FULL}, ticket: 'FRAUD-[0-9]{{4,8}}'")
    assert ask(made, ticket="FRAUD-1234") == Allow(("r0",), "full")
    assert refused(ask(made)) is Reason.TICKET_REQUIRED
    for other in ("FRAUD-123", "xFRAUD-1234", "FRAUD-1234x", "FRAUD-1234\n", "FRAUD-" + "1" * 99):
        decision = ask(made, ticket=other)
        assert refused(decision) is Reason.TICKET_NOT_ALLOWED
        assert other not in str(decision)


def test_a_rule_without_a_ticket_takes_none() -> None:
    assert refused(ask(policy(FULL), ticket="FRAUD-1234")) is Reason.TICKET_NOT_ALLOWED


def test_any_rule_that_is_met_is_enough() -> None:
    made = policy(
        f"{FULL}, purposes: [fraud_case], ticket: 'F[0-9]+'",
        f"{FULL}, purposes: [chargeback]",
        "fields: [card], allow: [detokenize], view: last4",
    )
    assert ask(made, "last4") == Allow(("r2",), "last4")
    assert ask(made, "full", purpose="chargeback") == Allow(("r1",), "full")
    assert ask(made, "full", purpose="fraud_case", ticket="F1") == Allow(("r0",), "full")
    assert ask(made, "last4", purpose="chargeback") == Allow(("r1", "r2"), "last4")


def test_the_rule_that_a_call_came_furthest_with_says_why_not() -> None:
    made = policy(
        f"{FULL}, purposes: [chargeback]", f"{FULL}, purposes: [fraud_case], ticket: 'F[0-9]+'"
    )
    assert refused(ask(made)) is Reason.PURPOSE_REQUIRED
    assert refused(ask(made, purpose="fraud_case")) is Reason.TICKET_REQUIRED
    assert refused(ask(made, purpose="fraud_case", ticket="no")) is Reason.TICKET_NOT_ALLOWED


def test_who_has_no_right_learns_nothing_of_purposes() -> None:
    made = policy(f"{FULL}, purposes: [fraud_case]", "fields: ['*'], deny: [detokenize]")
    stranger = Principal("spiffe", "spiffe://example.org/y")
    for who in (WHO, stranger):
        for purpose in ("", "fraud_case", "nothing"):
            context = CallContext(purpose)
            decision = decide(made, who, Action.DETOKENIZE, "card", "full", context)
            assert refused(decision) is Reason.DENIED


def test_decrypt_obeys_the_same_conditions() -> None:
    made = policy(
        "fields: [ssn], allow: [encrypt]",
        "fields: [ssn], allow: [decrypt], view: full, purposes: [tax]",
    )
    assert refused(decide(made, WHO, Action.DECRYPT, "ssn")) is Reason.PURPOSE_REQUIRED
    met = decide(made, WHO, Action.DECRYPT, "ssn", context=CallContext("tax"))
    assert met == Allow(("r1",), "full")
    assert isinstance(decide(made, WHO, Action.ENCRYPT, "ssn"), Allow)


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        (f"{FULL}, purposes: []", "purposes", "empty list"),
        (f"{FULL}, purposes: fraud_case", "purposes", "must be a list"),
        (f"{FULL}, purposes: [Fraud]", "purposes[0]", "must be a lower-case letter"),
        (f"{FULL}, purposes: [a, a]", "purposes[1]", "twice"),
        (f"{FULL}, ticket: ''", "ticket", "is empty"),
        (f"{FULL}, ticket: 7", "ticket", "in quotes"),
        (f"{FULL}, ticket: '^F[0-9]+$'", "ticket", "remove ^ and $"),
        (f"{FULL}, ticket: '.*'", "ticket", "matches an empty ticket"),
        (f"{FULL}, ticket: '[0-9]{{65}}'", "ticket", "no ticket of at most 64 characters"),
        (f"{FULL}, ticket: '[^!-~]'", "ticket", "without a character"),
        (f"{FULL}, ticket: '(?i)f'", "ticket", "groups have no options"),
        (f"{FULL}, ticket: 'é+'", "ticket", "visible ASCII"),
        (f"{FULL}, ticket: '((a{{9}}){{9}}){{9}}'", "ticket", "too long"),
        (
            "fields: [card], allow: [tokenize], purposes: [fraud_case]",
            "purposes",
            "tokenize: answers no values",
        ),
        (
            "fields: [card], allow: [detokenize, describe], view: full, ticket: F",
            "ticket",
            "describe: answers no values",
        ),
        ("fields: [card], deny: [detokenize], purposes: [fraud_case]", "purposes", "a deny asks"),
        ("fields: [card], allow: [tokenize], budget: {values: 1, per: 1h}", "budget", "limits"),
        (f"{FULL}, budget: []", "budget", "empty list"),
        (f"{FULL}, budget: {{values: 0, per: 1h}}", "budget.values", "a whole number from 1"),
        (f"{FULL}, budget: {{values: 1, per: 367d}}", "budget.per", "up to 366d"),
        (f"{FULL}, budget: {{values: 1}}", "budget", "has no 'per'"),
        (
            f"{FULL}, budget: [{{values: 1, per: 60m}}, {{values: 2, per: 1h}}]",
            "budget[1]",
            "a window of this length already",
        ),
        (f"{FULL}, on_denied: hide", "on_denied", "allowed: error, mask, token"),
        (
            "fields: [ssn], allow: [decrypt], view: full, on_denied: token",
            "on_denied",
            "only detokenize is sent tokens",
        ),
        ("fields: [ssn], deny: [detokenize], on_denied: token", "on_denied", "only detokenize"),
    ],
)
def test_a_condition_that_cannot_be_is_refused(rule: str, path: str, message: str) -> None:
    found = problem(rule)
    assert found.path == f"roles.r0[0].{path}"
    assert message in found.message


@pytest.mark.parametrize(
    ("section", "path", "message"),
    [
        ("purposes: {}\n", "purposes", "has no purpose"),
        ("purposes: [fraud_case]\n", "purposes", "must be a mapping"),
        ("purposes: {Fraud: x}\n", "purposes.Fraud", "must be a lower-case letter"),
        ("purposes: {fraud: ' '}\n", "purposes.fraud", "one line"),
        ('purposes: {fraud: "a\\nb"}\n', "purposes.fraud", "one line"),
        ("purposes: {fraud: 7}\n", "purposes.fraud", "in quotes"),
    ],
)
def test_a_purpose_that_cannot_be_is_refused(section: str, path: str, message: str) -> None:
    found = problem(FULL, head=FIELDS + section)
    assert found.path == path
    assert message in found.message


def test_where_purposes_are_described_a_rule_names_one_of_those() -> None:
    made = policy(f"{FULL}, purposes: [fraud_case]", head=FIELDS + PURPOSES)
    assert made.purposes["chargeback"] == "A payment that the cardholder disputes"
    found = problem(f"{FULL}, purposes: [fraud_cases]", head=FIELDS + PURPOSES)
    assert "did you mean 'fraud_case'?" in found.message


def test_a_ticket_that_may_be_somebodys_number_is_warned_of() -> None:
    def warned(ticket: str) -> bool:
        made = policy(f"{FULL}, ticket: '{ticket}'")
        return any(each.path == "roles.r0[0].ticket" for each in lint(made))

    assert all(map(warned, [r"\d+", ".+", r"[0-9]{13,19}", r"\d{3}-\d{2}-\d{4}", r"(F-)?\d{9}"]))
    assert not any(map(warned, [r"F-\d+", r"\d{4,8}", r"\d{4}-\d{2}-\d{2}", "[A-Z]+[0-9]*"]))


def test_a_purpose_that_no_rule_asks_for_is_noted() -> None:
    made = policy(f"{FULL}, purposes: [fraud_case]", head=FIELDS + PURPOSES)
    assert "purposes.chargeback" in {each.path for each in lint(made)}


def test_a_condition_is_told_of_by_explain_and_diff() -> None:
    plain, strict = policy(FULL), policy(f"{FULL}, purposes: [b, a], ticket: 'F[0-9]+'")
    lines = list(explain(strict, WHO, Action.DETOKENIZE, "card").lines("p.yaml"))
    assert lines[0] == "PURPOSE_REQUIRED: the policy asks what this is for: name a purpose"
    assert lines[-1].endswith("card with view full, purposes a, b, ticket F[0-9]+")
    met = explain(strict, WHO, Action.DETOKENIZE, "card", context=CallContext("a", "F1"))
    assert next(met.lines("p.yaml")) == "ALLOWED by r0, view full"
    (change,) = diff(plain, strict).holders
    (gained,) = change.gains
    assert gained.conditions == (("purposes", "a, b"), ("ticket", "F[0-9]+"))
    assert [each.conditions for each in change.loses] == [()]


def test_budgets_and_what_is_answered_else_are_told_of() -> None:
    plain = policy(FULL)
    budget = "budget: [{values: 500, per: 1d}, {values: 1000, per: 1h}]"
    made = policy(f"{FULL}, {budget}, on_denied: mask")
    lines = list(explain(made, WHO, Action.DETOKENIZE, "card").lines("p.yaml"))
    assert lines[-1].endswith("view full, budget 1,000 per 1h and 500 per 1d, on_denied mask")
    (change,) = diff(plain, made).holders
    (gained,) = change.gains
    assert gained.conditions == (("budget", "1,000 per 1h and 500 per 1d"), ("on_denied", "mask"))


def test_a_rule_that_denies_nothing_needs_no_answer_for_it() -> None:
    noted = {each.path for each in lint(policy(f"{FULL}, on_denied: mask"))}
    assert "roles.r0[0].on_denied" in noted
    asked = lint(policy(f"{FULL}, purposes: [fraud_case], on_denied: mask"))
    assert "roles.r0[0].on_denied" not in {each.path for each in asked}
