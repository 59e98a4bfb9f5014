from __future__ import annotations

import pytest
import structlog

from vault.telemetry.log_repeats import RepeatFilter


class RepeatsHarness:
    def __init__(self) -> None:
        self.now = 100.0
        self.repeats = RepeatFilter(60.0, lambda: self.now)

    def log(self, event: str = "database error", **fields: str) -> object:
        """Returns what is said, None where nothing is."""
        try:
            return self.repeats(None, "warning", {"event": event, **fields}).get("repeated", 0)
        except structlog.DropEvent:
            return None


@pytest.fixture
def harness() -> RepeatsHarness:
    return RepeatsHarness()


def test_a_cause_is_said_once_a_minute_with_a_count(harness: RepeatsHarness) -> None:
    said = [harness.log(sqlstate="53100", request_id=str(number)) for number in range(1000)]
    assert said == [0] + 999 * [None]
    harness.now += 60
    assert harness.log(sqlstate="53100") == 999
    assert harness.log(sqlstate="53100") is None
    harness.now += 60
    assert harness.log(sqlstate="53100") == 1


def test_another_cause_is_said_at_once(harness: RepeatsHarness) -> None:
    assert harness.log(sqlstate="53100") == 0
    assert harness.log(sqlstate="57P03") == 0
    assert harness.log(sqlstate="57P03", where="db2:5432") == 0
    assert harness.log("audit not available", sqlstate="53100") == 0


def test_what_is_no_such_cause_is_always_said(harness: RepeatsHarness) -> None:
    for event in ("call", "the audit's chain was changed", "not ready"):
        assert [harness.log(event), harness.log(event)] == [0, 0]


def test_many_causes_cost_bounded_memory(harness: RepeatsHarness) -> None:
    for number in range(10_000):
        assert harness.log(error=str(number)) == 0
    assert len(harness.repeats._causes) <= 256
