"""Explanations: the decision of ``decide``, and the entries that bear on it."""

from __future__ import annotations

import pytest

from vault.model import Action, Principal
from vault.policy.decide import Allow, decide
from vault.policy.explain import explain
from vault.policy.reading.load import parse_policy

POLICY = parse_policy(
    """version: 1
fields:
  ssn: {format: us_ssn, generator: ff1, views: {last4: {show_last: 4}}}
  account: {format: {alphabet: digits, min: 12, max: 20}, generator: ff1, storage: vaultless}
  email: {format: email, generator: random, ttl: 365d}
limits:
  - {fields: [ssn], actions: [tokenize], values: 1000, per: 1h, by: principal}
roles:
  writer: [{fields: ["*"], allow: [tokenize]}]
  reader:
    - {allow: [read_policy]}
    - {fields: [ssn], allow: [detokenize], view: full}
  helper: [{fields: [ssn], allow: [detokenize], view: last4}]
  barred: [{fields: [ssn], deny: [detokenize]}]
  eraser: [{fields: ["*"], allow: [erase]}]
principals:
  - {spiffe: "spiffe://x.org/w", roles: [writer]}
  - {spiffe: "spiffe://x.org/r", roles: [reader, helper]}
  - {spiffe: "spiffe://x.org/b", roles: [reader, barred]}
  - {spiffe: "spiffe://x.org/e", roles: [eraser]}
""",
    "p.yaml",
)


def told(who: str, action: Action, field: str | None = "ssn", view: str = "") -> list[str]:
    principal = Principal("spiffe", f"spiffe://x.org/{who}")
    return list(explain(POLICY, principal, action, field, view).lines("p.yaml"))


def test_an_allowed_call_names_rule_and_limit() -> None:
    assert told("w", Action.TOKENIZE) == [
        "ALLOWED by writer",
        "roles: writer",
        "p.yaml:9: roles.writer[0]: allows tokenize on ssn (by '*')",
        "p.yaml:7: limits[0]: at most 1,000 values per 1h and principal",
    ]


def test_a_deny_comes_first() -> None:
    assert told("b", Action.DETOKENIZE) == [
        "DENIED: the policy does not allow this call",
        "roles: barred, reader",
        "p.yaml:14: roles.barred[0]: denies detokenize on ssn; a deny wins",
        "p.yaml:12: roles.reader[1]: allows detokenize on ssn with view full",
    ]


def test_several_views_are_all_named() -> None:
    assert told("r", Action.DETOKENIZE) == [
        "INVALID_REQUEST: your roles grant several views: name a view",
        "roles: helper, reader",
        "p.yaml:13: roles.helper[0]: allows detokenize on ssn with view last4",
        "p.yaml:12: roles.reader[1]: allows detokenize on ssn with view full",
    ]


def test_nothing_that_allows_is_said_too() -> None:
    assert told("w", Action.LOOKUP)[-1] == "no rule of these roles allows it"
    assert told("nobody", Action.LOOKUP)[-1] == "roles: none"


def test_an_action_without_a_field_needs_none() -> None:
    assert (
        told("r", Action.READ_POLICY, None)[-1] == "p.yaml:11: roles.reader[0]: allows read_policy"
    )


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("view", ["", "full", "last4", "other"])
@pytest.mark.parametrize("who", ["w", "r", "b", "nobody"])
def test_the_decision_is_the_one_that_calls_get(who: str, action: Action, view: str) -> None:
    principal = Principal("spiffe", f"spiffe://x.org/{who}")
    for field in ("ssn", "other", None):
        decision = decide(POLICY, principal, action, field, view)
        explanation = explain(POLICY, principal, action, field, view)
        assert explanation.decision == decision
        if isinstance(decision, Allow):
            granting = {ground.path.partition("[")[0] for ground in explanation.entries}
            assert {f"roles.{role}" for role in decision.roles} <= granting


def test_what_a_field_says_of_erasing_and_expiring_is_told() -> None:
    assert told("e", Action.ERASE) == [
        "ALLOWED by eraser",
        "roles: eraser",
        "p.yaml:15: roles.eraser[0]: allows erase on ssn (by '*')",
    ]
    assert told("e", Action.ERASE, "account")[-1] == (
        "p.yaml:4: fields.account: vaultless: nothing is stored, so the call is INVALID_REQUEST"
    )
    assert told("w", Action.TOKENIZE, "email")[-1] == (
        "p.yaml:5: fields.email: a token expires 365d after its value was last tokenized"
    )
    assert told("r", Action.ERASE)[0].startswith("DENIED")
