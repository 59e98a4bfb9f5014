from __future__ import annotations

import pytest
import structlog

from vault.telemetry.log_repeats import Repeats


class ServiceHarness:
    def __init__(self) -> None:
        self.now = 100.0
        self.repeats = Repeats(60.0, lambda: self.now)

    def log(self, event: str = "database error", **fields: str) -> object:
        """Returns what is said, None where nothing is."""
        try:
            return self.repeats(None, "warning", {"event": event, **fields}).get("repeated", 0)
        except structlog.DropEvent:
            return None


@pytest.fixture
def house() -> ServiceHarness:
    return ServiceHarness()


def test_a_cause_is_said_once_a_minute_with_a_count(house: ServiceHarness) -> None:
    said = [house.log(sqlstate="53100", request_id=str(number)) for number in range(1000)]
    assert said == [0] + 999 * [None]
    house.now += 60
    assert house.log(sqlstate="53100") == 999
    assert house.log(sqlstate="53100") is None
    house.now += 60
    assert house.log(sqlstate="53100") == 1


def test_another_cause_is_said_at_once(house: ServiceHarness) -> None:
    assert house.log(sqlstate="53100") == 0
    assert house.log(sqlstate="57P03") == 0
    assert house.log(sqlstate="57P03", where="db2:5432") == 0
    assert house.log("audit not available", sqlstate="53100") == 0


def test_what_is_no_such_cause_is_always_said(house: ServiceHarness) -> None:
    for event in ("call", "the audit's chain was changed", "not ready"):
        assert [house.log(event), house.log(event)] == [0, 0]


def test_many_causes_cost_bounded_memory(house: ServiceHarness) -> None:
    for number in range(10_000):
        assert house.log(error=str(number)) == 0
    assert len(house.repeats._causes) <= 256
