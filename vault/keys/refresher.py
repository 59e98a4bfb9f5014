"""Keeps the keys in memory fresh: refreshed at half their lifetime, dropped at its end."""

from __future__ import annotations

import random
from collections.abc import Callable

import structlog
from structlog.typing import FilteringBoundLogger

from vault.errors import TokenvaultError
from vault.keys.lease import backoff
from vault.keys.snapshot import KeySnapshot
from vault.periodic_task import PeriodicTask

__all__ = ["KeyRefresher"]

_log: FilteringBoundLogger = structlog.get_logger("vault.keys")
_LONGEST_WAIT = 3600.0


class KeyRefresher:
    """The background thread of a keyring.

    Args:
        snapshot: returns the keys in memory, None where there are none.
        reload: loads all keys. Raises KeysUnavailable or StoreUnavailable.
        drop: drops the keys whose lifetime has ended.
        lifetime: seconds that keys live.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self,
        snapshot: Callable[[], KeySnapshot | None],
        reload: Callable[[], None],
        drop: Callable[[], None],
        lifetime: float,
        clock: Callable[[], float],
    ) -> None:
        self._snapshot = snapshot
        self._drop = drop
        self._lifetime = lifetime
        self._clock = clock
        self._logged = ""
        self._task = PeriodicTask(
            "keyring",
            reload,
            self._pause,
            failed=self._failed,
            recovered=self._recovered,
            due=self._due,
        )

    def start(self) -> None:
        """Starts the thread, once."""
        self._task.start()

    def stop(self) -> None:
        """Stops the thread; waits for the refresh under way."""
        self._task.stop()

    def refresh(self) -> None:
        """Refreshes now, in the caller's thread; a failure is logged and counted."""
        self._task.run_once()

    def _due(self) -> bool:
        snapshot = self._snapshot()
        if snapshot is not None and self._clock() >= snapshot.ends:
            self._drop()
            return True
        # Another thread may have loaded the keys during the pause.
        return snapshot is None or self._clock() >= self._refresh_at(snapshot)

    def _failed(self, error: Exception, _: int) -> None:
        problem = error.message if isinstance(error, TokenvaultError) else type(error).__name__
        # Once for each cause: lost keys must not hide behind an outage that came first.
        if problem != self._logged:
            _log.warning("key_refresh_failing", problem=problem)
        self._logged = problem

    def _recovered(self, failures: int) -> None:
        _log.info("key_refresh_recovered", failures=failures)
        self._logged = ""

    def _refresh_at(self, snapshot: KeySnapshot) -> float:
        return snapshot.loaded + self._lifetime / 2

    def _pause(self, failures: int) -> float:
        jitter = random.random()  # noqa: S311 - spreads load, hides nothing
        if failures:
            return backoff(failures, jitter)
        snapshot = self._snapshot()
        if snapshot is None:
            return 0.0
        left = self._refresh_at(snapshot) - self._clock() + self._lifetime * jitter / 20
        return min(_LONGEST_WAIT, max(0.0, left))
