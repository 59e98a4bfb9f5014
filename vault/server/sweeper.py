"""The thread of a listener that ends connections and requests which take too long."""

from __future__ import annotations

from collections.abc import Callable

from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import frames_of, get_log

__all__ = ["sweeper"]

_log = get_log(__name__)


def sweeper(name: str, interval: float, *sweeps: Callable[[], None]) -> PeriodicTask:
    """Returns a task that runs all of ``sweeps``; one that fails is logged and stops no other."""

    def failed(error: Exception, _: int = 0) -> None:
        _log.error("round failed", thread=name, error=type(error).__name__, frames=frames_of(error))

    def run() -> None:
        for sweep in sweeps:
            try:
                sweep()
            except Exception as error:  # noqa: BLE001 - the next round may succeed
                failed(error)

    return PeriodicTask(name, run, interval, failed=failed)
