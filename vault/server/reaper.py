"""The reaper: a thread that turns tokens past their expiry into tombstones.

A token answers TOKEN_EXPIRED from its expiry on, reaped or not; what the reaper is for is
that the value is gone then. Every worker of every server has one. Of those that come at
once one works, by a lock in Postgres.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from vault.errors import VaultError, for_operators
from vault.telemetry.logging import frames_of, get_log

__all__ = ["Reaper"]

_log = get_log(__name__)


class Reaper:
    """Reaps every ``interval`` seconds, a batch after another until none is left.

    Args:
        reap: buries one batch; returns how many tokens, 0 where there is nothing to do.
        count: told how many tokens each batch had.
    """

    def __init__(
        self, reap: Callable[[], int], interval: float, count: Callable[[int], None]
    ) -> None:
        self._reap = reap
        self._interval = interval
        self._count = count
        self._stopping = threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def start(self) -> None:
        """Starts the thread; its first turn is at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the batch at hand."""
        self._stopping.set()
        self._thread.join()

    def turn(self) -> None:
        """Reaps until nothing is left. A failure is logged once, until it changes or goes."""
        try:
            while not self._stopping.is_set() and (reaped := self._reap()):
                self._count(reaped)
                _log.info("expired tokens reaped", tokens=reaped)
        except VaultError as error:
            self._complain(for_operators(error))
        except Exception as error:  # noqa: BLE001 - a dead thread would keep values for ever
            # Type and place only: its text may quote what was worked on.
            self._complain(type(error).__name__, frames_of(error))
        else:
            self._problem = ""

    def _run(self) -> None:
        self.turn()
        while not self._stopping.wait(self._interval):
            self.turn()

    def _complain(self, problem: str, frames: object = ()) -> None:
        if problem != self._problem:
            self._problem = problem
            _log.warning("expired tokens not reaped", problem=problem, frames=frames)
