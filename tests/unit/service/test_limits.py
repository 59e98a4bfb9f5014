"""Limits as callers meet them: charged before the work, all or nothing, per principal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from vault.errors import Denied, LimitExceeded
from vault.model import TokenSpace
from vault.policy.reading.load import parse_policy
from vault.testing.store import MemoryUnitOfWork

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.service.conftest import ServiceHarness

SSNS = [f"123-45-{n:04}" for n in range(1, 200)]
LIMITS = """
limits:
  - {fields: [ssn], actions: [tokenize, decrypt, encrypt], values: 10, per: 1h, by: principal}
  - {fields: [ssn], actions: [tokenize], values: 15, per: 1d, by: principal}
"""


@pytest.fixture
def limited(harness: ServiceHarness) -> ServiceHarness:
    harness.policy = parse_policy(harness.policy.document + LIMITS, "limited")
    return harness


def exceeded(call: Callable[[], object]) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        call()
    return caught.value


def test_the_last_value_of_a_limit_goes_through_and_no_more(limited: ServiceHarness) -> None:
    limited.tokenize("ssn", SSNS[:6])
    limited.tokenize("ssn", SSNS[6:10])
    error = exceeded(lambda: limited.tokenize("ssn", SSNS[:1]))
    assert error.retryable
    assert 0 < (error.retry_after or 0) <= 3600
    assert "10 values per 1h" in error.message


def test_a_batch_that_does_not_fit_does_nothing_and_is_not_charged(limited: ServiceHarness) -> None:
    limited.tokenize("ssn", SSNS[:6])
    exceeded(lambda: limited.tokenize("ssn", SSNS[6:11]))
    assert limited.lookup("ssn", SSNS[6:11]).values == [""] * 5
    assert limited.tokenize("ssn", SSNS[6:10]).failures == {}


def test_values_that_fail_count_too(limited: ServiceHarness) -> None:
    limited.tokenize("ssn", ["no ssn"] * 10)
    exceeded(lambda: limited.tokenize("ssn", SSNS[:1]))


def test_a_repeated_value_counts_every_time(limited: ServiceHarness) -> None:
    limited.tokenize("ssn", SSNS[:1] * 10)
    exceeded(lambda: limited.tokenize("ssn", SSNS[:1]))


def test_a_batch_larger_than_the_limit_will_never_fit(limited: ServiceHarness) -> None:
    error = exceeded(lambda: limited.tokenize("ssn", SSNS[:11]))
    assert not error.retryable
    assert error.retry_after is None
    assert "split it" in error.message


def test_a_new_window_starts_over_and_the_longer_one_goes_on(limited: ServiceHarness) -> None:
    now = datetime(2026, 1, 5, 10, 59, 30, tzinfo=UTC)
    limited.work._clock = lambda: now
    limited.tokenize("ssn", SSNS[:10])
    error = exceeded(lambda: limited.tokenize("ssn", SSNS[:1]))
    assert error.retry_after == 30

    now += timedelta(seconds=30)
    limited.tokenize("ssn", SSNS[:5])
    error = exceeded(lambda: limited.tokenize("ssn", SSNS[:1]))
    assert "15 values per 1d" in error.message
    assert error.retry_after == 13 * 3600


def test_fields_actions_and_principals_count_apart(limited: ServiceHarness) -> None:
    limited.tokenize("ssn", SSNS[:10])
    limited.tokenize("card", ["4929309216280000"] * 50)
    limited.lookup("ssn", SSNS[:100])
    sealed = limited.encrypt("ssn", [b"x"] * 10, b"")
    opened = limited.decrypt("ssn", sealed.values, b"")
    assert opened.values == [b"x"] * 10
    exceeded(lambda: limited.decrypt("ssn", sealed.values[:1], b""))


def test_a_denied_call_is_not_charged(limited: ServiceHarness) -> None:
    for _ in range(3):
        with pytest.raises(Denied):
            limited.tokenize("ssn", SSNS[:10], name="support")
    assert limited.tokenize("ssn", SSNS[:10]).failures == {}


def test_a_call_over_its_limit_is_audited_as_denied(limited: ServiceHarness) -> None:
    limited.tokenize("ssn", SSNS[:10])
    exceeded(lambda: limited.tokenize("ssn", SSNS[:1]))
    allowed, denied = limited.work.events
    assert (allowed.outcome, allowed.reason) == ("allowed", "")
    assert (denied.outcome, denied.reason, denied.field) == ("denied", "LIMIT_EXCEEDED", "ssn")


def test_an_unlimited_call_asks_for_no_counter(harness: ServiceHarness) -> None:
    harness.tokenize("ssn", SSNS)
    assert isinstance(harness.work, MemoryUnitOfWork)
    assert harness.work._tables.limits == {}
    assert TokenSpace("default", "ssn") in harness.work._tables.token_specs
