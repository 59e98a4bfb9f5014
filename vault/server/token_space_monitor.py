"""Measures now and then how much is left of the tokens of fields that can run out of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from vault.errors import VaultError
from vault.telemetry.logging import get_log

__all__ = ["TokenSpaceMonitor"]

_log = get_log(__name__)


class TokenSpaceMonitor:
    """A thread that measures at its start and then once an interval.

    Args:
        measure: returns the share left by field. Raises VaultError.
        tell: takes what was measured: field, share left.
        interval: seconds.
    """

    def __init__(
        self,
        measure: Callable[[], Mapping[str, float]],
        tell: Callable[[str, float], None],
        interval: float = 300.0,
    ) -> None:
        self._measure = measure
        self._tell = tell
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spaces", daemon=True)

    def start(self) -> None:
        """Begins to measure."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the measurement under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Measures once; what cannot be measured keeps its last figure."""
        try:
            for field, left in self._measure().items():
                self._tell(field, left)
        except VaultError as error:
            _log.warning("token spaces not measured", reason=error.reason.value)

    def _run(self) -> None:
        self.look()
        while not self._stopping.wait(self._interval):
            self.look()
