"""The reaper: a thread that turns tokens past their expiry into tombstones.

A token answers TOKEN_EXPIRED from its expiry on, reaped or not; the reaper removes the
value. Every worker of every server has one. A lock in Postgres lets one work at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from vault.errors import TokenvaultError, for_operators
from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import frames_of, get_log

__all__ = ["Reaper"]

_log = get_log(__name__)


class Reaper:
    """Reaps every ``interval`` seconds, a batch after another until none is left.

    Args:
        reap: makes one batch of tombstones; returns how many, 0 where there is nothing to do.
        count: called with how many tokens each batch had.
    """

    def __init__(
        self, reap: Callable[[], int], interval: float, count: Callable[[int], None]
    ) -> None:
        self._reap = reap
        self._count = count
        self._problem = ""
        self._task = PeriodicTask(
            "reaper",
            self._reap_all,
            interval,
            failed=lambda error, _: self._log_once(error),
            recovered=self._recovered,
            at_start=True,
        )

    def start(self) -> None:
        """Starts the thread; its first round is at once."""
        self._task.start()

    def stop(self) -> None:
        """Ends the thread after the current batch."""
        self._task.stop()

    def run_once(self) -> None:
        """Reaps until nothing is left. A failure is logged once, until it changes or goes."""
        self._task.run_once()

    def _reap_all(self) -> None:
        while not self._task.stopping and (reaped := self._reap()):
            self._count(reaped)
            _log.info("expired tokens reaped", tokens=reaped)

    def _recovered(self, _: int) -> None:
        self._problem = ""

    def _log_once(self, error: Exception) -> None:
        if isinstance(error, TokenvaultError):
            problem, frames = for_operators(error), list[str]()
        else:
            # Type and place only: its text may quote what was worked on.
            problem, frames = type(error).__name__, frames_of(error)
        if problem != self._problem:
            self._problem = problem
            _log.warning("expired tokens not reaped", problem=problem, frames=frames)
