"""Keeps the freezes that this process knows up to date: reads them again every second."""

from __future__ import annotations

import time

from vault.model import DEFAULT_TENANT
from vault.periodic_task import PeriodicTask
from vault.service.freezes.watch import FreezeWatch
from vault.service.ports import UnitOfWork
from vault.telemetry.logging import first_failure_logged, get_log

__all__ = ["FreezeRefresher"]

_log = get_log(__name__)
_INTERVAL = 1.0
_PATIENCE = 5.0  # seconds for one look


class FreezeRefresher:
    """The task of one process."""

    def __init__(self, work: UnitOfWork, watch: FreezeWatch) -> None:
        self._work = work
        self._watch = watch
        self._task = PeriodicTask(
            "freezes",
            self.refresh,
            _INTERVAL,
            failed=first_failure_logged(_log, "freezes not read"),
        )

    def start(self) -> None:
        """Reads them once, and again from then on. Raises StoreUnavailable, KeysUnavailable."""
        self.refresh()
        self._task.start()

    def stop(self) -> None:
        """Stops reading."""
        self._task.stop()

    def refresh(self) -> None:
        """Reads all freezes."""
        began = time.monotonic()
        rows = self._work.run(
            lambda transaction: transaction.freezes.all(DEFAULT_TENANT),
            deadline=began + _PATIENCE,
        )
        self._watch.refresh(rows, began)
