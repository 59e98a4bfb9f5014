"""The thread around the integrator: what it reports to probe and metrics, and that it survives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from vault.audit.integrator import IntegrationStatus
from vault.errors import AuditUnavailable
from vault.server.audit.integration import IntegrationTask
from vault.service.audit import Finding
from vault.telemetry.metrics import AuditMetrics

WRITER = UUID(int=1)
BAD = IntegrationStatus(
    2, 3, 0.0, {WRITER: Finding(str(WRITER), 9, "EDITED", "the record was edited")}
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Rounds:
    """Gives the prepared standings, then raises what is prepared."""

    def __init__(self) -> None:
        self.taken = 0
        self.next: Callable[[], IntegrationStatus] = IntegrationStatus

    def integrate(self) -> IntegrationStatus:
        self.taken += 1
        return self.next()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rounds() -> Rounds:
    return Rounds()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def integration(rounds: Rounds, registry: CollectorRegistry, clock: Clock) -> IntegrationTask:
    return IntegrationTask(rounds, AuditMetrics(registry), interval=0.001, clock=clock)


def page(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def away() -> IntegrationStatus:
    raise AuditUnavailable("the database is unavailable")


def test_what_was_done_and_what_waits_is_counted(
    integration: IntegrationTask, rounds: Rounds, registry: CollectorRegistry
) -> None:
    rounds.next = lambda: IntegrationStatus(5, 2, 0.5)
    integration.run_once()
    integration.run_once()
    shown = page(registry)
    assert shown["tokenvault_audit_integrated_total"] == 10
    assert shown["tokenvault_audit_lag_records"] == 2
    assert shown["tokenvault_audit_lag_seconds"] == 0.5
    assert shown["tokenvault_audit_integration_failures_total"] == 0
    integration.probe()


def test_a_bad_record_is_told_and_counted_once(
    integration: IntegrationTask, rounds: Rounds, registry: CollectorRegistry
) -> None:
    rounds.next = lambda: BAD
    integration.run_once()
    integration.run_once()
    assert page(registry)["tokenvault_audit_integration_failures_total"] == 1
    assert page(registry)["tokenvault_audit_stalled_writers"] == 1
    with pytest.raises(AuditUnavailable, match=rf"record 9 of writer {WRITER} is EDITED"):
        integration.probe()
    rounds.next = IntegrationStatus
    integration.run_once()
    integration.probe()


def test_waiting_for_too_long_is_told(integration: IntegrationTask, rounds: Rounds) -> None:
    rounds.next = lambda: IntegrationStatus(0, 1, 30.0)
    integration.run_once()
    integration.probe()
    rounds.next = lambda: IntegrationStatus(1000, 70_000, 31.0)
    integration.run_once()
    with pytest.raises(AuditUnavailable, match=r"since 31 s .* faster"):
        integration.probe()


def test_failing_for_too_long_is_told_with_its_cause(
    integration: IntegrationTask, rounds: Rounds, registry: CollectorRegistry, clock: Clock
) -> None:
    integration.run_once()
    rounds.next = away
    clock.now += 29
    integration.run_once()
    integration.probe()
    clock.now += 2
    integration.run_once()
    with pytest.raises(AuditUnavailable, match=r"since 31 s .*: the database is unavailable"):
        integration.probe()
    assert page(registry)["tokenvault_audit_lag_seconds"] == 31
    assert page(registry)["tokenvault_audit_integration_failures_total"] == 2
    rounds.next = IntegrationStatus
    integration.run_once()
    integration.probe()


def test_nothing_ends_the_thread_but_close(integration: IntegrationTask, rounds: Rounds) -> None:
    def broken() -> IntegrationStatus:
        rounds.next = IntegrationStatus
        raise ZeroDivisionError

    integration._after_failure = 0.001
    rounds.next = broken
    integration.start()
    end = time.monotonic() + 10
    while rounds.taken < 3:
        assert time.monotonic() < end
        time.sleep(0.001)
    integration.close()
    taken = rounds.taken
    time.sleep(0.02)
    assert rounds.taken == taken
    assert not integration._task.running


LACK = Finding(str(WRITER), 4, "TRUNCATED", "record 4, which this server wrote, is missing")


def test_what_a_look_finds_is_told_by_the_probe_until_it_is_gone(
    rounds: Rounds,
    registry: CollectorRegistry,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found: list[Finding] = []
    looks = 0

    def look() -> Sequence[Finding]:
        nonlocal looks
        looks += 1
        return list(found)

    integration = IntegrationTask(rounds, AuditMetrics(registry), look, clock=clock)
    integration.run_once()
    assert looks == 0
    found.append(LACK)
    for _ in range(3):
        clock.now += 11
        integration.run_once()
        with pytest.raises(AuditUnavailable, match=r"TRUNCATED: writer .*record 4.*audit verify"):
            integration.probe()
    assert looks == 3
    assert capsys.readouterr().out.count("audit is not as this server knows it") == 1
    found.clear()
    clock.now += 11
    integration.run_once()
    integration.probe()


def test_a_look_that_fails_forgets_nothing_and_ends_nothing(
    rounds: Rounds, registry: CollectorRegistry, clock: Clock
) -> None:
    answers: list[Callable[[], Sequence[Finding]]] = [lambda: [LACK], unreachable, broken]

    integration = IntegrationTask(
        rounds, AuditMetrics(registry), lambda: answers.pop(0)(), clock=clock
    )
    for _ in range(3):
        clock.now += 11
        integration.run_once()
        with pytest.raises(AuditUnavailable, match="record 4"):
            integration.probe()
    assert answers == []


def unreachable() -> Sequence[Finding]:
    raise AuditUnavailable("the database is unavailable")


def broken() -> Sequence[Finding]:
    raise RuntimeError
