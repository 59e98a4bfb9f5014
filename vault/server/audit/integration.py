"""The background thread that integrates audit records, and the probe that reports its state.

Periodically it also checks the audit as an auditor would, and reports what is missing of what
this process wrote. Calls never wait for it: they write their records whether or not these get
positions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.audit.integrator import IntegrationStatus
from vault.errors import AuditUnavailable, TokenvaultError
from vault.periodic_task import PeriodicTask
from vault.service.audit import Finding
from vault.telemetry.logging import get_log
from vault.telemetry.metrics import AuditMetrics

__all__ = ["AuditIntegrator", "IntegrationTask"]

_INTERVAL = 0.4  # seconds: with the work itself, well within one
_AFTER_FAILURE = 2.0
_PATIENCE = 30.0
_CHECK_INTERVAL = 10.0  # seconds
_LOGGED = 20  # findings of one check that are logged one by one
_log = get_log(__name__)


class AuditIntegrator(Protocol):
    """Gives audit records their positions. Raises TokenvaultError."""

    def integrate(self) -> IntegrationStatus:
        """Integrates what there is."""


@dataclass(frozen=True, slots=True)
class _LastRound:
    """The result of the last rounds.

    Attributes:
        at: when the last good one ended.
        problem: why the last one failed, or empty.
    """

    status: IntegrationStatus
    at: float
    problem: str = ""


class IntegrationTask:
    """Integrates until it is closed.

    Args:
        check: returns what a quick check of the audit finds wrong. Raises TokenvaultError.
        patience: seconds for which records may wait before the probe fails.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self,
        integrator: AuditIntegrator,
        metrics: AuditMetrics,
        check: Callable[[], Sequence[Finding]] = list,
        *,
        interval: float = _INTERVAL,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._integrator = integrator
        self._metrics = metrics
        self._interval = interval
        self._after_failure = _AFTER_FAILURE
        self._patience = patience
        self._clock = clock
        # One object, so that the probe's thread never sees half of it.
        self._last = _LastRound(IntegrationStatus(), clock())
        self._check = check
        self._checked_at = clock()
        self._found: Sequence[Finding] = ()
        self._task = PeriodicTask(
            "audit",
            self._run_round,
            lambda failures: self._after_failure if failures else self._interval,
            failed=self._failed,
            recovered=lambda _: _log.info("audit integration goes on"),
            at_end=True,
        )
        # Run within a round, and never started: a check that fails must not fail the round.
        self._check_task = PeriodicTask(
            "audit check", self._run_check, _CHECK_INTERVAL, failed=self._check_failed
        )

    def start(self) -> None:
        """Starts the thread."""
        self._task.start()

    def close(self) -> None:
        """Stops the thread after one last round, so that the last calls' records do not wait."""
        self._task.stop()

    def probe(self) -> None:
        """Raises AuditUnavailable where records are bad or wait for too long."""
        last = self._last
        stalled = last.status.stalled
        if stalled:
            first = next(iter(stalled.values()))
            more = f" (and {len(stalled) - 1} more writers)" if len(stalled) > 1 else ""
            raise AuditUnavailable(
                f"audit record {first.number} of writer {first.writer} is {first.kind}"
                f"{more}: calls go on; run `tokenvault audit verify`"
            )
        if found := self._found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            place = f"writer {found[0].writer}: " if found[0].writer else ""
            raise AuditUnavailable(
                f"{found[0].kind}: {place}{found[0].message}{more}:"
                " calls go on; run `tokenvault audit verify`"
            )
        waited = self._waited(last)
        if waited > self._patience:
            why = last.problem or "records come faster than they are integrated"
            raise AuditUnavailable(f"audit records wait since {waited:.0f} s for a position: {why}")

    def run_once(self) -> None:
        """Runs one round, counts it and logs a failure."""
        self._task.run_once()

    def _run_round(self) -> None:
        try:
            self._succeeded(self._integrator.integrate())
        finally:
            if self._clock() - self._checked_at >= _CHECK_INTERVAL:
                self._checked_at = self._clock()
                self._check_task.run_once()

    def _succeeded(self, status: IntegrationStatus) -> None:
        known = self._last.status.stalled.values()
        bad = sum(finding not in known for finding in status.stalled.values())
        self._last = _LastRound(status, self._clock())
        self._metrics.count_round(status.integrated, bad)
        self._metrics.set_backlog(status.waiting, status.oldest, len(status.stalled))

    def _failed(self, error: Exception, _: int) -> None:
        before = self._last
        problem = error.message if isinstance(error, TokenvaultError) else type(error).__name__
        self._last = _LastRound(before.status, before.at, problem)
        self._metrics.count_round(0, 1)
        status = before.status
        self._metrics.set_backlog(status.waiting, self._waited(self._last), len(status.stalled))
        if problem != before.problem:
            _log.error("audit integration failed", problem=problem)

    def _run_check(self) -> None:
        found = self._check()
        new = [finding for finding in found if finding not in self._found]
        for finding in new[:_LOGGED]:
            _log.error(
                "audit is not as this server knows it",
                writer=finding.writer,
                number=finding.number,
                kind=finding.kind,
                problem=finding.message,
            )
        self._found = found

    def _check_failed(self, error: Exception, _: int) -> None:
        # What was found still holds. That the database is unavailable is logged by the round.
        if not isinstance(error, TokenvaultError):
            _log.error("the check of the audit failed", problem=type(error).__name__)

    def _waited(self, last: _LastRound) -> float:
        # While rounds fail nobody knows what waits: the time since the last good one counts.
        return last.status.oldest + (self._clock() - last.at if last.problem else 0.0)
