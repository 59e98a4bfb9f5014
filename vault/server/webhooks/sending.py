"""Sends a receiver its notices, periodically."""

from __future__ import annotations

from collections.abc import Callable

from vault.errors import TokenvaultError, for_operators
from vault.periodic_task import PeriodicTask
from vault.service.notices.delivery import NotDelivered
from vault.telemetry.logging import frames_of, get_log

__all__ = ["SendingTask"]

_log = get_log(__name__)

_INTERVAL = 1.0  # seconds
_STOP = 15.0  # seconds


class SendingTask:
    """A thread for one receiver, so that one that is slow or gone holds up no other.

    Every worker of every server has one; leases in Postgres let one send each notice. A round
    ends with the first notice that is not taken: a receiver that is gone is asked once a round.

    Args:
        deliver: sends a notice; returns whether there was one. Raises NotDelivered,
            TokenvaultError.
    """

    def __init__(self, endpoint: str, deliver: Callable[[], bool]) -> None:
        self._endpoint = endpoint
        self._deliver = deliver
        self._problem = ""
        self._task = PeriodicTask(
            f"webhook-{endpoint}",
            self._send_all,
            _INTERVAL,
            failed=lambda error, _: self._failed(error),
        )

    def start(self) -> None:
        """Starts the thread."""
        self._task.start()

    def stop(self) -> None:
        """Ends the thread after the notice at hand; waits for a receiver only so long."""
        self._task.stop(_STOP)

    def run_once(self) -> None:
        """Sends what is due. A failure is logged once, until it changes or goes."""
        self._task.run_once()

    def _send_all(self) -> None:
        while not self._task.stopping and self._deliver():
            # Not before one was taken is the receiver known to be back.
            self._taken()

    def _taken(self) -> None:
        if self._problem:
            self._problem = ""
            _log.info("notices are delivered again", endpoint=self._endpoint)

    def _failed(self, error: Exception) -> None:
        problem, frames = type(error).__name__, list[str]()
        if isinstance(error, NotDelivered):
            problem = str(error)
            if error.given_up is not None:
                # It names people and fields, nothing that may not be seen; here it is seen last.
                event = error.given_up.event
                _log.error("notice given up", endpoint=self._endpoint, notice=event)
        elif isinstance(error, TokenvaultError):
            problem = for_operators(error)
        else:
            frames = frames_of(error)
        if problem != self._problem:
            self._problem = problem
            _log.warning(
                "notices are not delivered",
                endpoint=self._endpoint,
                problem=problem,
                frames=frames,
            )
