"""A thread that does a few small things again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vault.telemetry.logging import frames_of, get_log

__all__ = ["Rounds"]

_log = get_log(__name__)


class Rounds:
    """Calls each of ``steps`` every ``interval`` seconds; one that fails is logged, not fatal."""

    def __init__(self, name: str, interval: float, *steps: Callable[[], None]) -> None:
        self._interval = interval
        self._steps = steps
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends; waits for the round under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            for step in self._steps:
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - the next round may succeed
                    _log.error(
                        "round failed",
                        thread=self._thread.name,
                        error=type(error).__name__,
                        frames=frames_of(error),
                    )
