"""What is answered for tokens of a call that a rule's conditions deny: failures, each marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vault.errors import BudgetInvalid, Denied, Reason
from vault.model import Failure, Justification, OnDenied
from vault.policy.reading.load import parse_policy
from vault.service.ports import unchanged
from vault.service.reveal.asking import RequestService
from vault.service.reveal.request import RevealRequest

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness
    from vault.service.results import ColumnResult

CARD = "5317-2506-2884-4522"
RULE = "{fields: [card], allow: [detokenize], view: full"
ASKS = (
    "{fields: [card], allow: [request_reveal, detokenize], view: full, "
    "approvals: [{of: lead}], grant_ttl: 1h"
)
LEADS = "{issuer: 'https://idp.example.org', audience: t, claim: groups, value: leads}"
CASES = LEADS.replace("leads", "cases")
RULES = f"""
  shown: [{RULE}, purposes: [fraud], budget: {{values: 3, per: 1h}}, on_denied: token}}]
  masked: [{RULE}, purposes: [fraud], budget: {{values: 3, per: 1h}}, on_denied: mask}}]
  strict: [{RULE}, purposes: [fraud], budget: {{values: 3, per: 1h}}}}]
  asks: [{ASKS}, on_denied: token}}]
  asks_masked: [{ASKS}, purposes: [fraud], on_denied: mask}}]
  asks_strictly: [{ASKS}}}]
  lead: [{{fields: [card], allow: [approve_reveal]}}]
principals:
  - {{spiffe: "spiffe://example.org/shown", roles: [shown]}}
  - {{spiffe: "spiffe://example.org/masked", roles: [masked]}}
  - {{spiffe: "spiffe://example.org/both", roles: [shown, masked]}}
  - {{spiffe: "spiffe://example.org/all", roles: [shown, masked, strict]}}
  - {{jwt: {LEADS}, roles: [lead]}}
  - {{jwt: {CASES}, roles: [asks, asks_masked, asks_strictly]}}
  - {{spiffe: "spiffe://example.org/asks", roles: [asks]}}
  - {{spiffe: "spiffe://example.org/asks-both", roles: [asks, asks_masked]}}
  - {{spiffe: "spiffe://example.org/asks-all", roles: [asks, asks_strictly]}}
  - {{spiffe: "spiffe://example.org/asks-and-reads", roles: [asks, strict]}}
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


def test_an_approval_that_is_missing_denies_every_item(ruled: ServiceHarness, token: str) -> None:
    answer = reveal(ruled, "asks", [token, "no token"])
    assert answer.values == ["", ""]
    assert {each.reason for each in answer.failures.values()} == {Reason.APPROVAL_REQUIRED}
    assert [each.substitute for each in answer.failures.values()] == [token, "no token"]
    event = ruled.work.events[-1]
    assert (event.outcome, event.reason, event.charged) == ("denied", "APPROVAL_REQUIRED", 0)


def test_of_rules_that_ask_for_approvals_the_strictest_decides(
    ruled: ServiceHarness, token: str
) -> None:
    (failure,) = reveal(ruled, "asks-both", [token], "fraud").failures.values()
    assert failure.on_denied is OnDenied.MASK
    # The rule whose purpose is not named was not met, and says nothing.
    (failure,) = reveal(ruled, "asks-both", [token]).failures.values()
    assert (failure.reason, failure.on_denied) == (Reason.APPROVAL_REQUIRED, OnDenied.TOKEN)
    with pytest.raises(Denied) as caught:
        reveal(ruled, "asks-all", [token])
    assert caught.value.reason is Reason.APPROVAL_REQUIRED


def test_a_rule_without_approvals_shows_the_value(ruled: ServiceHarness, token: str) -> None:
    assert reveal(ruled, "asks-and-reads", [token], "fraud").values == [CARD]


def test_a_grant_that_is_not_good_is_an_error(ruled: ServiceHarness, token: str) -> None:
    call = ruled.call("Detokenize", "asks")
    grant = Justification(grant="00000000-0000-4000-8000-000000000000")
    with pytest.raises(Denied) as caught:
        ruled.tokens.detokenize(call, "card", [token], "full", unchanged, grant)
    assert caught.value.reason is Reason.GRANT_INVALID


def test_a_request_that_is_denied_is_an_error(ruled: ServiceHarness, token: str) -> None:
    reveals = RequestService(ruled.admission, ruled.keys)
    ask = RevealRequest("card", "full", Justification("other"), "why", [token])
    with pytest.raises(Denied):
        reveals.request(ruled.call("RequestReveal", "asks"), ask)
