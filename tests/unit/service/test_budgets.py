"""Budgets as callers meet them: charged before the work, all or nothing, never by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from vault.errors import BudgetExhausted, BudgetInvalid, Denied, KeysUnavailable
from vault.model import Action, ChargedBudget, Justification
from vault.policy.reading.load import parse_policy
from vault.service.budgets import Budgets
from vault.service.ports import BudgetCounter, BudgetKey, unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.service.conftest import ServiceHarness

CARDS = ["5545634085461876", "5317250628844522", "4916429195104076"]
BUDGET = "budget: [{values: 10, per: 1h}, {values: 15, per: 1d}]"
RULES = f"""
  analyst:
    - {{fields: [card], allow: [detokenize], view: full, {BUDGET}}}
    - {{fields: [card], allow: [detokenize], view: last4, budget: {{values: 30, per: 1h}}}}
  mixed:
    - {{fields: [card], allow: [detokenize], view: full, purposes: [fraud], {BUDGET}}}
    - {{fields: [card], allow: [detokenize], view: full, purposes: [audit]}}
    - {{fields: [ssn], allow: [decrypt], view: full, budget: {{values: 2, per: 1h}}}}
  either:
    - {{fields: [card], allow: [detokenize], view: full, budget: {{values: 3, per: 1h}}}}
    - {{fields: [card], allow: [detokenize], view: full, budget: {{values: 5, per: 1d}}}}
principals:
  - {{spiffe: "spiffe://example.org/analyst", roles: [analyst]}}
  - {{spiffe: "spiffe://example.org/second", roles: [analyst]}}
  - {{spiffe: "spiffe://example.org/mixed", roles: [mixed]}}
  - {{spiffe: "spiffe://example.org/either", roles: [either]}}
"""


@pytest.fixture
def budgeted(harness: ServiceHarness) -> ServiceHarness:
    text = harness.policy.document.replace("principals:\n", RULES, 1)
    harness.policy = parse_policy(text, "budgeted")
    return harness


@pytest.fixture
def token(budgeted: ServiceHarness) -> str:
    return budgeted.tokenize("card", CARDS[:1]).values[0]


def show(
    harness: ServiceHarness, token: str, values: int, who: str = "analyst", view: str = "full"
) -> None:
    assert harness.detokenize("card", [token] * values, who, view).failures == {}


def exhausted(call: Callable[[], object]) -> BudgetExhausted:
    with pytest.raises(BudgetExhausted) as caught:
        call()
    return caught.value


def counter(harness: ServiceHarness) -> tuple[BudgetKey, BudgetCounter]:
    ((key, row),) = harness.work._tables.budgets.items()
    return key, row


def test_the_last_value_goes_through_and_no_more(budgeted: ServiceHarness, token: str) -> None:
    show(budgeted, token, 6)
    show(budgeted, token, 4)
    error = exhausted(lambda: show(budgeted, token, 1))
    assert (error.left, error.retryable) == (0, True)
    assert 0 < (error.retry_after or 0) <= 3600 * 1.05
    assert "10 values per 1h has 0 left, and this call asks for 1" in error.message


def test_a_call_that_does_not_fit_charges_nothing(budgeted: ServiceHarness, token: str) -> None:
    show(budgeted, token, 6)
    assert exhausted(lambda: show(budgeted, token, 5)).left == 4
    show(budgeted, token, 4)
    assert counter(budgeted)[1].total == 10


def test_a_call_larger_than_the_budget_will_never_fit(budgeted: ServiceHarness, token: str) -> None:
    show(budgeted, token, 1)
    error = exhausted(lambda: show(budgeted, token, 11))
    assert (error.left, error.retry_after, error.retryable) == (9, None, False)
    assert "split it" in error.message


def test_every_window_holds_and_the_wait_is_for_all_of_them(
    budgeted: ServiceHarness, token: str
) -> None:
    show(budgeted, token, 10)
    budgeted.clock.ahead = timedelta(hours=2)
    show(budgeted, token, 5)
    error = exhausted(lambda: show(budgeted, token, 1))
    assert "15 values per 1d has 0 left" in error.message
    assert 20 * 3600 < (error.retry_after or 0) <= 24 * 3600 * 1.05
    budgeted.clock.ahead += timedelta(seconds=error.retry_after or 0)
    show(budgeted, token, 10)


def test_items_that_fail_count_too_and_calls_that_fail_do_not(
    budgeted: ServiceHarness, token: str
) -> None:
    budgeted.detokenize("card", ["4111111111111111"] * 9, "analyst", "full")
    budgeted.keys.available = False
    with pytest.raises(KeysUnavailable):
        show(budgeted, token, 1)
    budgeted.keys.available = True
    with pytest.raises(Denied):
        budgeted.detokenize("ssn", [token], "analyst")
    show(budgeted, token, 1)
    exhausted(lambda: show(budgeted, token, 1))


def test_principals_and_views_count_apart(budgeted: ServiceHarness, token: str) -> None:
    show(budgeted, token, 10)
    show(budgeted, token, 10, "second")
    show(budgeted, token, 20, view="last4")
    exhausted(lambda: show(budgeted, token, 1))
    exhausted(lambda: show(budgeted, token, 11, view="last4"))


def test_a_rule_without_a_budget_that_is_met_charges_nothing(
    budgeted: ServiceHarness, token: str
) -> None:
    call = budgeted.call("Detokenize", "mixed")

    def reveal(values: int, purpose: str) -> None:
        tokens, why = [token] * values, Justification(purpose)
        budgeted.tokens.detokenize(call, "card", tokens, "", unchanged, why)

    reveal(50, "audit")
    assert budgeted.work._tables.budgets == {}
    reveal(10, "fraud")
    exhausted(lambda: reveal(1, "fraud"))
    reveal(50, "audit")


def test_one_of_several_budgets_is_enough(budgeted: ServiceHarness, token: str) -> None:
    show(budgeted, token, 3, "either")
    show(budgeted, token, 2, "either")
    error = exhausted(lambda: show(budgeted, token, 1, "either"))
    assert error.left == 0
    budgeted.clock.ahead = timedelta(hours=2)
    show(budgeted, token, 3, "either")


def test_decrypt_has_budgets(budgeted: ServiceHarness) -> None:
    sealed = budgeted.encrypt("ssn", [b"x"] * 3, b"").values
    assert budgeted.decrypt("ssn", sealed[:2], b"", "mixed").failures == {}
    exhausted(lambda: budgeted.decrypt("ssn", sealed[:1], b"", "mixed"))
    key, _ = counter(budgeted)
    assert (key.action, key.view) == (Action.DECRYPT, "full")


def test_a_new_policy_counts_at_once(budgeted: ServiceHarness, token: str) -> None:
    def another(budget: str) -> None:
        text = budgeted.policy.document.replace(BUDGET, budget)
        budgeted.policy = parse_policy(text, "another")

    show(budgeted, token, 8)
    original = budgeted.policy
    another("budget: {values: 9, per: 1h}")
    assert exhausted(lambda: show(budgeted, token, 2)).left == 1
    budgeted.policy = original
    another("budget: {values: 5, per: 1h}")
    assert exhausted(lambda: show(budgeted, token, 1)).left == 0
    budgeted.policy = original
    another("budget: {values: 12, per: 2h}")
    assert exhausted(lambda: show(budgeted, token, 5)).left == 4
    budgeted.policy = original
    another("budget: {values: 20, per: 1h}")
    show(budgeted, token, 12)


def test_the_audit_says_what_was_charged(budgeted: ServiceHarness, token: str) -> None:
    show(budgeted, token, 10)
    exhausted(lambda: show(budgeted, token, 1))
    allowed, denied = budgeted.work.events[-2:]
    assert allowed.budget == ChargedBudget(Action.DETOKENIZE, "full")
    assert (denied.outcome, denied.reason, denied.budget) == ("denied", "BUDGET_EXHAUSTED", None)


def lowered(counter: BudgetCounter) -> BudgetCounter:
    return replace(counter, windows="{}")


def smaller(counter: BudgetCounter) -> BudgetCounter:
    return replace(counter, total=0)


def unsigned(counter: BudgetCounter) -> BudgetCounter:
    return replace(counter, mac=bytes(32))


@pytest.mark.parametrize("forge", [lowered, smaller, unsigned])
def test_a_counter_written_by_hand_is_refused_and_reported(
    budgeted: ServiceHarness, token: str, forge: Callable[[BudgetCounter], BudgetCounter]
) -> None:
    told: list[tuple[BudgetKey, str]] = []
    budgeted.admission._budgets._refused = lambda key, why: told.append((key, why))
    show(budgeted, token, 4)
    key, row = counter(budgeted)
    budgeted.work._tables.budgets[key] = forge(row)
    with pytest.raises(BudgetInvalid) as caught:
        show(budgeted, token, 1)
    assert not caught.value.retryable
    assert told == [(key, "was not written by a server")]
    event = budgeted.work.events[-1]
    assert (event.outcome, event.reason) == ("denied", "BUDGET_INVALID")


def test_another_callers_counter_is_no_counter(budgeted: ServiceHarness, token: str) -> None:
    show(budgeted, token, 10)
    key, row = counter(budgeted)
    show(budgeted, token, 1, "second")
    table = budgeted.work._tables.budgets
    (other,) = table.keys() - {key}
    table[key] = table[other]
    with pytest.raises(BudgetInvalid):
        show(budgeted, token, 1)
    budgeted.work._tables.budgets[key] = row
    exhausted(lambda: show(budgeted, token, 1))


@pytest.mark.parametrize("gone", [False, True])
def test_a_counter_that_was_put_back_is_noticed_by_who_knows_a_later_one(
    budgeted: ServiceHarness, token: str, gone: bool
) -> None:
    show(budgeted, token, 2)
    key, row = counter(budgeted)
    show(budgeted, token, 8)
    table = budgeted.work._tables.budgets
    if gone:
        del table[key]
    else:
        table[key] = row
    with pytest.raises(BudgetInvalid):
        show(budgeted, token, 1)
    # Another process knows nothing of it: that is what the audit is verified for.
    budgeted.admission._budgets = Budgets(budgeted.keys)
    show(budgeted, token, 1)


def test_a_counter_under_a_key_of_no_version_is_refused(
    budgeted: ServiceHarness, token: str
) -> None:
    show(budgeted, token, 1)
    key, row = counter(budgeted)
    budgeted.work._tables.budgets[key] = replace(row, key_version=9)
    with pytest.raises(BudgetInvalid):
        show(budgeted, token, 1)
