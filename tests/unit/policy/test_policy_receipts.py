"""Rules whose reveals give a receipt: what is read and refused, and when a call gets one."""

from __future__ import annotations

import pytest

from vault.model import Action, Principal
from vault.policy.decide import Allow, decide
from vault.policy.diff import diff
from vault.policy.explain import explain
from vault.policy.lint import lint
from vault.policy.model import Policy
from vault.policy.reading.load import InvalidPolicy, parse_policy

WHO = Principal("spiffe", "spiffe://example.org/x")
FULL = "fields: [card], allow: [detokenize], view: full"
HEAD = """version: 1
fields:
  card: {format: card, generator: random, views: {last4: {show_last: 4}}}
"""


def policy(*rules: str) -> Policy:
    roles = "".join(f"  r{at}: [{{{rule}}}]\n" for at, rule in enumerate(rules))
    held = ", ".join(f"r{at}" for at in range(len(rules)))
    principals = f"principals: [{{spiffe: '{WHO.subject}', roles: [{held}]}}]\n"
    return parse_policy(f"{HEAD}roles:\n{roles}{principals}", "policy.yaml")


def receipt(made: Policy, view: str = "") -> bool:
    decision = decide(made, WHO, Action.DETOKENIZE, "card", view)
    assert isinstance(decision, Allow)
    return decision.receipt


def test_one_of_the_rules_that_allow_a_call_is_enough() -> None:
    with_receipt, masked = f"{FULL}, receipt: true", FULL.replace("full", "last4")
    assert not receipt(policy(FULL))
    assert not receipt(policy(f"{FULL}, receipt: false"))
    assert receipt(policy(with_receipt))
    assert receipt(policy(FULL, with_receipt))
    assert not receipt(policy(masked, f"{with_receipt}, networks: [192.0.2.0/24]"), "last4")
    assert receipt(policy(with_receipt), "last4")
    assert receipt(policy(masked, with_receipt), "token")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (f"{FULL}, receipt: yes", "must be true or false"),
        ("fields: [card], allow: [tokenize], receipt: true", "nothing to give a receipt of"),
        ("fields: [card], deny: [detokenize], receipt: true", "a deny asks nothing"),
    ],
)
def test_what_is_refused(rule: str, told: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        policy(rule)
    (problem,) = caught.value.problems
    assert told in problem.message


def test_people_are_told() -> None:
    made = policy(f"{FULL}, receipt: true")
    assert "receipt true" in str(explain(made, WHO, Action.DETOKENIZE, "card"))
    assert diff(policy(FULL), made)
    # It asks nothing of a call, so nothing can be answered in its place.
    found = lint(policy(f"{FULL}, receipt: true, on_denied: mask"))
    assert any(each.path.endswith("on_denied") for each in found)
