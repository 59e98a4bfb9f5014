"""Publishes the audit's log periodically, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable

from vault.errors import TokenvaultError, for_operators
from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import frames_of, get_log

__all__ = ["PublishingTask"]

_log = get_log(__name__)


class PublishingTask:
    """A thread that publishes once an interval, until nothing new is left.

    Every worker of every server has one; the directory lets one work at a time.

    Args:
        publish: publishes some; returns how much is left. Raises TokenvaultError, OSError.
        failed: called when a round failed.
    """

    def __init__(
        self, publish: Callable[[], int], interval: float, failed: Callable[[], None]
    ) -> None:
        self._publish = publish
        self._count_failure = failed
        self._problem = ""
        self._task = PeriodicTask(
            "audit-publishing",
            self._publish_all,
            interval,
            failed=lambda error, _: self._failed(error),
            recovered=self._recovered,
        )

    def start(self) -> None:
        """Starts the thread."""
        self._task.start()

    def stop(self) -> None:
        """Ends the thread after what it is writing."""
        self._task.stop()

    def run_once(self) -> None:
        """Publishes what is new. A failure is logged once, until it changes or goes."""
        self._task.run_once()

    def _publish_all(self) -> None:
        while not self._task.stopping and self._publish():
            pass

    def _recovered(self, _: int) -> None:
        self._problem = ""
        _log.info("the audit is published again")

    def _failed(self, error: Exception) -> None:
        self._count_failure()
        problem, frames = type(error).__name__, list[str]()
        if isinstance(error, TokenvaultError):
            problem = for_operators(error)
        elif isinstance(error, OSError):
            problem = f"{problem}: {error.strerror}: {error.filename}"
        else:
            frames = frames_of(error)
        if problem != self._problem:
            self._problem = problem
            _log.error("the audit is not published", problem=problem, frames=frames)
