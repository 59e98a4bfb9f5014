"""The background thread that integrates audit records, and the probe of how that goes.

Now and then it also checks the audit as an auditor would, and reports what is missing of what
this process wrote. Calls never wait for it: they write their records whether or not these get
positions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.audit.integrator import IntegrationStatus
from vault.errors import AuditUnavailable, VaultError
from vault.periodic_task import PeriodicTask
from vault.service.audit_access import Finding
from vault.telemetry.logging import first_failure_logged, get_log
from vault.telemetry.metrics import AuditMetrics

__all__ = ["AuditIntegration", "AuditIntegrator"]

_INTERVAL = 0.4  # seconds: with the work itself, well within one
_AFTER_FAILURE = 2.0
_PATIENCE = 30.0
_CHECK_INTERVAL = 10.0  # seconds
_LOGGED = 20  # findings of one check that are logged one by one
_log = get_log(__name__)


class AuditIntegrator(Protocol):
    """What integrates. Raises VaultError."""

    def turn(self) -> IntegrationStatus:
        """Integrates what there is."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the last rounds came to.

    Attributes:
        at: when the last good one ended.
        trouble: why the last one failed, or empty.
    """

    status: IntegrationStatus
    at: float
    trouble: str = ""


class AuditIntegration:
    """Integrates until it is closed.

    Args:
        check: returns what is wrong with the audit at a glance. Raises VaultError.
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
        self._seen = _Seen(IntegrationStatus(), clock())
        self._check = check
        self._checked_at = clock()
        self._found: Sequence[Finding] = ()
        self._task = PeriodicTask(
            "audit",
            self.turn,
            lambda _: self._after_failure if self._seen.trouble else self._interval,
            failed=first_failure_logged(_log, "audit integration failed"),
            at_end=True,
        )

    def start(self) -> None:
        """Starts the thread."""
        self._task.start()

    def close(self) -> None:
        """Stops the thread after one last round, so that the last calls' records do not wait."""
        self._task.stop()

    def probe(self) -> None:
        """Raises AuditUnavailable where records are bad or wait for too long."""
        seen = self._seen
        stalled = seen.status.stalled
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
        waited = self._waited(seen)
        if waited > self._patience:
            why = seen.trouble or "records come faster than they are integrated"
            raise AuditUnavailable(f"audit records wait since {waited:.0f} s for a position: {why}")

    def turn(self) -> None:
        """Runs one round, counts it and logs a failure."""
        before = self._seen
        try:
            status = self._integrator.turn()
        except VaultError as error:
            self._failed(before, error.message)
        except Exception as error:  # noqa: BLE001 - a dead thread would integrate nothing
            self._failed(before, type(error).__name__)
        else:
            self._succeeded(before, status)
        if self._clock() - self._checked_at >= _CHECK_INTERVAL:
            self._run_check()

    def _run_check(self) -> None:
        try:
            found = self._check()
        except VaultError:
            return  # the database is away, which the round has logged; what was found still holds
        except Exception as error:  # noqa: BLE001 - a dead thread would integrate nothing
            _log.error("the look at the audit failed", problem=type(error).__name__)
            return
        finally:
            self._checked_at = self._clock()
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

    def _succeeded(self, before: _Seen, status: IntegrationStatus) -> None:
        self._seen = _Seen(status, self._clock())
        known = before.status.stalled.values()
        bad = sum(finding not in known for finding in status.stalled.values())
        self._metrics.count_round(status.integrated, bad)
        self._metrics.set_backlog(status.behind, status.oldest, len(status.stalled))
        if before.trouble:
            _log.info("audit integration goes on")

    def _failed(self, before: _Seen, trouble: str) -> None:
        self._seen = _Seen(before.status, before.at, trouble)
        self._metrics.count_round(0, 1)
        status = before.status
        self._metrics.set_backlog(status.behind, self._waited(self._seen), len(status.stalled))
        if trouble != before.trouble:
            _log.error("audit integration failed", problem=trouble)

    def _waited(self, seen: _Seen) -> float:
        # While rounds fail nobody knows what waits: the time since the last good one counts.
        return seen.status.oldest + (self._clock() - seen.at if seen.trouble else 0.0)
