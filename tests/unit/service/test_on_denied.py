"""What is answered for tokens of a call that a rule's conditions deny: failures, each marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vault.errors import BudgetInvalid, Denied, Reason
from vault.model import Failure, Justification, OnDenied
from vault.policy.reading.load import parse_policy
from vault.service.ports import unchanged

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness
    from vault.service.results import ColumnResult

CARD = "5317-2506-2884-4522"
RULE = "{fields: [card], allow: [detokenize], view: full"
RULES = f"""
  shown: [{RULE}, purposes: [fraud], budget: {{values: 3, per: 1h}}, on_denied: token}}]
  masked: [{RULE}, purposes: [fraud], budget: {{values: 3, per: 1h}}, on_denied: mask}}]
  strict: [{RULE}, purposes: [fraud], budget: {{values: 3, per: 1h}}}}]
principals:
  - {{spiffe: "spiffe://example.org/shown", roles: [shown]}}
  - {{spiffe: "spiffe://example.org/masked", roles: [masked]}}
  - {{spiffe: "spiffe://example.org/both", roles: [shown, masked]}}
  - {{spiffe: "spiffe://example.org/all", roles: [shown, masked, strict]}}
"""


@pytest.fixture
def ruled(harness: ServiceHarness) -> ServiceHarness:
    text = harness.policy.document.replace("principals:\n", RULES, 1)
    harness.policy = parse_policy(text, "ruled")
    return harness


@pytest.fixture
def token(ruled: ServiceHarness) -> str:
    return ruled.tokenize("card", [CARD]).values[0]


def reveal(harness: ServiceHarness, who: str, tokens: list[str], purpose: str = "") -> ColumnResult:
    call, why = harness.call("Detokenize", who), Justification(purpose)
    return harness.tokens.detokenize(call, "card", tokens, "full", unchanged, why)


def test_every_item_fails_and_says_what_may_be_shown(ruled: ServiceHarness, token: str) -> None:
    answer = reveal(ruled, "shown", [token, "no token"])
    assert answer.values == ["", ""]
    assert answer.view == ""
    message = "the policy asks what this is for: name a purpose"
    assert answer.failures == {
        at: Failure(Reason.PURPOSE_REQUIRED, message, False, text, OnDenied.TOKEN)
        for at, text in enumerate([token, "no token"])
    }
    event = ruled.work.events[-1]
    assert (event.outcome, event.reason) == ("denied", "PURPOSE_REQUIRED")


def test_a_mask_is_of_the_token_and_shows_nothing_of_it(ruled: ServiceHarness, token: str) -> None:
    (failure,) = reveal(ruled, "masked", [token]).failures.values()
    assert (failure.substitute, failure.on_denied) == ("****-****-****-****", OnDenied.MASK)


def test_what_is_known_and_what_is_not_look_alike(ruled: ServiceHarness, token: str) -> None:
    statements = len(ruled.work.events)
    known, unknown = reveal(ruled, "masked", [token, "4111-1111-1111-1111"]).failures.values()
    assert known == unknown
    assert len(ruled.work.events) == statements + 1
    assert ruled.work._tables.budgets == {}


def test_a_budget_that_is_used_up_denies_too(ruled: ServiceHarness, token: str) -> None:
    assert reveal(ruled, "masked", [token] * 3, "fraud").values == [CARD] * 3
    answer = reveal(ruled, "masked", [token], "fraud")
    assert answer.values == [""]
    (failure,) = answer.failures.values()
    assert (failure.reason, failure.retryable) == (Reason.BUDGET_EXHAUSTED, True)
    assert failure.on_denied is OnDenied.MASK
    event = ruled.work.events[-1]
    assert (event.outcome, event.reason) == ("denied", "BUDGET_EXHAUSTED")


def test_of_several_rules_the_strictest_says_what_is_shown(
    ruled: ServiceHarness, token: str
) -> None:
    (failure,) = reveal(ruled, "both", [token]).failures.values()
    assert failure.on_denied is OnDenied.MASK
    with pytest.raises(Denied):
        reveal(ruled, "all", [token])


def test_who_has_no_right_gets_an_error(ruled: ServiceHarness, token: str) -> None:
    with pytest.raises(Denied):
        ruled.detokenize("ssn", [token], "shown")
    with pytest.raises(Denied):
        ruled.detokenize("card", [token], "pipeline")


def test_a_counter_that_was_forged_is_an_error(ruled: ServiceHarness, token: str) -> None:
    reveal(ruled, "shown", [token], "fraud")
    ruled.admission._budgets._known.note(next(iter(ruled.work._tables.budgets)), 99)
    with pytest.raises(BudgetInvalid):
        reveal(ruled, "shown", [token], "fraud")


def test_no_substitute_is_in_a_repr(ruled: ServiceHarness, token: str) -> None:
    assert token not in repr(reveal(ruled, "shown", [token]))
