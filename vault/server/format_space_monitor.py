"""Measures periodically how many tokens are left in fields that can run out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vault.errors import TokenvaultError
from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import first_failure_logged, get_log

__all__ = ["FormatSpaceMonitor"]

_log = get_log(__name__)
_unexpected = first_failure_logged(_log, "format spaces not measured")


class FormatSpaceMonitor:
    """A thread that measures at its start and then once an interval.

    Args:
        measure: returns the share left by field. Raises TokenvaultError.
        publish: called with each field and its share left.
        interval: seconds.
    """

    def __init__(
        self,
        measure: Callable[[], Mapping[str, float]],
        publish: Callable[[str, float], None],
        interval: float = 300.0,
    ) -> None:
        self._measure = measure
        self._publish = publish
        self._task = PeriodicTask(
            "format-spaces", self._record, interval, failed=self._failed, at_start=True
        )

    def start(self) -> None:
        """Starts the thread."""
        self._task.start()

    def stop(self) -> None:
        """Ends after the measurement under way."""
        self._task.stop()

    def run_once(self) -> None:
        """Measures once; what cannot be measured keeps its last figure."""
        self._task.run_once()

    def _record(self) -> None:
        for field, left in self._measure().items():
            self._publish(field, left)

    def _failed(self, error: Exception, failures: int) -> None:
        if isinstance(error, TokenvaultError):
            _log.warning("format spaces not measured", reason=error.reason.value)
        else:
            _unexpected(error, failures)
