"""Of rules with conditions, one that is met is enough, and nothing else is."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from vault.model import Action, Principal
from vault.policy.conditions import CallContext
from vault.policy.decide import Allow, Deny, decide
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy

WHO = Principal("spiffe", "spiffe://example.org/x")
PURPOSES = ("a", "b")


class Rule(NamedTuple):
    view: str
    purposes: frozenset[str]
    ticket: bool
    budget: int

    def written(self) -> str:
        parts = ["fields: [card]", "allow: [detokenize]", f"view: {self.view}"]
        parts += [f"purposes: [{', '.join(sorted(self.purposes))}]"] if self.purposes else []
        parts += ["ticket: 'T[0-9]+'"] if self.ticket else []
        parts += [f"budget: {{values: {self.budget}, per: 1h}}"] if self.budget else []
        return "{" + ", ".join(parts) + "}"

    def met(self, purpose: str, ticket: str) -> bool:
        return (not self.purposes or purpose in self.purposes) and self.ticket == (ticket == "T1")


RULES = st.lists(
    st.builds(
        Rule,
        st.sampled_from(["full", "last4"]),
        st.frozensets(st.sampled_from(PURPOSES)),
        st.booleans(),
        st.sampled_from([0, 5, 9]),
    ),
    min_size=1,
    max_size=5,
)


def policy(rules: list[Rule]) -> Policy:
    roles = "".join(f"  r{at}: [{rule.written()}]\n" for at, rule in enumerate(rules))
    held = ", ".join(f"r{at}" for at in range(len(rules)))
    return parse_policy(
        "version: 1\npurposes: {a: A purpose, b: Another}\nfields:\n"
        "  card: {format: card, generator: random}\n"
        f"roles:\n{roles}principals: [{{spiffe: '{WHO.subject}', roles: [{held}]}}]\n",
        "policy.yaml",
    )


@given(RULES, st.sampled_from(["full", "last4"]), st.sampled_from(["", "a", "b", "c"]), st.data())
def test_a_decision_is_what_the_conditions_say(
    rules: list[Rule], view: str, purpose: str, data: st.DataObject
) -> None:
    ticket = data.draw(st.sampled_from(["", "T1"]))
    decision = decide(
        policy(rules), WHO, Action.DETOKENIZE, "card", view, CallContext(purpose, ticket)
    )
    granting = [rule for rule in rules if rule.view in (view, "full")]
    met = [rule for rule in granting if rule.met(purpose, ticket)] if purpose != "c" else []
    if not met:
        assert isinstance(decision, Deny)
        return
    assert isinstance(decision, Allow)
    assert decision.roles == tuple(f"r{at}" for at, rule in enumerate(rules) if rule in met)
    if any(not rule.budget for rule in met):
        assert decision.allowance is None
        return
    assert decision.allowance is not None
    own = {rule.view for rule in met}
    assert decision.allowance.view == (view if view in own else "full")
    charged = {rule.budget for rule in met if rule.view == decision.allowance.view}
    assert {quota.values for (quota,) in decision.allowance.budgets} == charged
