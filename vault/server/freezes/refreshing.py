"""Every second: reports touches of honey tokens, and reads freezes and honey tokens again.

What a touch sets off is done here and not in its call: whoever touched must not see a difference.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from vault.errors import TokenvaultError, for_operators
from vault.model import DEFAULT_TENANT
from vault.periodic_task import PeriodicTask
from vault.service.freezes.counting import TouchCounter
from vault.service.freezes.watch import FreezeWatch
from vault.service.honey.alarm import Touch, TouchAlarm
from vault.service.honey.known import KnownHoney
from vault.service.ports import Transaction, UnitOfWork
from vault.telemetry.logging import first_failure_logged, get_log
from vault.telemetry.metrics import AuditMetrics

__all__ = ["FreezeRefresher", "Watched"]

_log = get_log(__name__)
_INTERVAL = 1.0
_PATIENCE = 5.0  # seconds for one look, and for counting one's touches
_MAX_KEPT = 10_000  # touches that could not be counted yet


@dataclass(frozen=True, slots=True)
class Watched:
    """What is kept up to date."""

    freezes: FreezeWatch
    honey: KnownHoney
    alarm: TouchAlarm


class FreezeRefresher:
    """The task of one process."""

    def __init__(
        self, work: UnitOfWork, watched: Watched, counter: TouchCounter, metrics: AuditMetrics
    ) -> None:
        self._work = work
        self._watched = watched
        self._counter = counter
        self._metrics = metrics
        self._uncounted: list[Touch] = []
        self._task = PeriodicTask(
            "freezes",
            self.run_once,
            _INTERVAL,
            failed=first_failure_logged(_log, "freezes not read"),
            at_end=True,
        )

    def start(self) -> None:
        """Reads all once, and again from then on. Raises StoreUnavailable, KeysUnavailable."""
        self._refresh()
        self._task.start()

    def stop(self) -> None:
        """Reports what is left, and ends."""
        self._task.stop()

    def run_once(self) -> None:
        """One round. Raises StoreUnavailable, KeysUnavailable, AuditUnavailable."""
        try:
            self._report()
        finally:
            self._refresh()

    def _report(self) -> None:
        touches = self._watched.alarm.take()
        self._uncounted = [*self._uncounted, *touches][-_MAX_KEPT:]
        for touch in touches:
            self._alert(touch)
        waiting = sorted(self._uncounted, key=lambda touch: touch.target)
        self._uncounted = []
        failure: TokenvaultError | None = None
        for _, group in groupby(waiting, lambda touch: touch.target):
            failure = self._count(list(group)) or failure
        if failure is not None:
            raise failure

    def _count(self, touches: Sequence[Touch]) -> TokenvaultError | None:
        """Counts touches of one target; keeps them for the next round where that fails."""
        try:
            frozen = self._counter.count(touches, time.monotonic() + _PATIENCE)
        except TokenvaultError as error:
            self._uncounted = [*self._uncounted, *touches][-_MAX_KEPT:]
            _log.error("honey touches not counted yet", problem=for_operators(error))
            return error
        if frozen:
            target = touches[-1].target
            _log.warning("caller frozen", kind=target.kind, name=target.name)
        return None

    def _alert(self, touch: Touch) -> None:
        self._metrics.count_touches(touch.field, touch.tokens)
        _log.warning(
            "honey token touched",
            rpc=touch.rpc,
            field=touch.field,
            principal=str(touch.caller.principal),
            peer=touch.caller.peer,
            request_id=touch.caller.request_id,
            sets={each: self._watched.honey.label(each) for each in touch.sets},
            tokens=touch.tokens,
        )

    def _refresh(self) -> None:
        began = time.monotonic()

        def look(transaction: Transaction) -> None:
            freezes, honey = self._watched.freezes, self._watched.honey
            freezes.refresh(transaction.freezes.all(DEFAULT_TENANT), began)
            unknown = honey.unknown(transaction.honey.macs(DEFAULT_TENANT))
            if unknown:
                honey.take(transaction.honey.rows(DEFAULT_TENANT, unknown))

        self._work.run(look, deadline=began + _PATIENCE)
