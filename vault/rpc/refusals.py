"""Refused calls that are counted: one audit record per listener, reason, principal and minute.

A stranger can make as many such calls as the network carries: their records must not fill
the disk, and none may go unrecorded. Calls turned away from a full server are
counted here too: a record for each would be the load that is being turned away. So are
those of a caller without a role, once a minute's records of their own are used up.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from vault.errors import Reason, TokenvaultError
from vault.model import AuditEvent
from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import first_failure_logged, get_log

__all__ = ["MinuteBudget", "RefusalCounter"]

_log = get_log(__name__)
# Principals that are counted apart; of more of them, whoever they are, there is one count.
_PRINCIPALS = 256


class RefusalCounter:
    """Counts refusals and writes them to the audit now and then.

    Args:
        write: writes one record. Raises TokenvaultError; the counts are then kept.
        listener: name of the listener, for the record.
    """

    def __init__(
        self,
        write: Callable[[AuditEvent], None],
        listener: str,
        policy_digest: Callable[[], str],
        interval: float = 60.0,
    ) -> None:
        self._write = write
        self._listener = listener
        self._policy_digest = policy_digest
        self._counts: Counter[tuple[Reason, str, str]] = Counter()
        self._lock = threading.Lock()
        self._task = PeriodicTask(
            "refusals",
            self.flush,
            interval,
            failed=first_failure_logged(_log, "refusals not audited"),
        )

    def start(self) -> None:
        """Begins to write once an interval."""
        self._task.start()

    def stop(self) -> None:
        """Writes what is left and ends."""
        self._task.stop()
        self.flush()

    def count(self, reason: Reason, detail: str, principal: str = "") -> None:
        """Counts one refused call; ``detail`` is one of a fixed set of messages.

        Args:
            principal: who called, where that is known.
        """
        with self._lock:
            key = reason, detail, principal
            if key not in self._counts and len(self._counts) >= _PRINCIPALS:
                key = reason, detail, ""
            self._counts[key] += 1

    def flush(self) -> None:
        """Writes one record per reason and principal seen since the last flush."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        for (reason, detail, principal), count in counts.items():
            _log.warning(
                "calls refused",
                reason=reason.value,
                detail=detail,
                principal=principal,
                count=count,
            )
            try:
                self._write(self._event(reason, detail, principal, count))
            except TokenvaultError as error:
                _log.error("refusals not audited yet", reason=error.reason.value, count=count)
                with self._lock:
                    self._counts[reason, detail, principal] += count

    def _event(self, reason: Reason, detail: str, principal: str, count: int) -> AuditEvent:
        return AuditEvent(
            rpc="*",
            outcome="denied",
            principal=principal,
            peer=f"listener:{self._listener}",
            credential="",
            request_id="",
            policy_digest=self._policy_digest(),
            reason=reason.value,
            detail=detail,
            counts={"calls": count},
        )


class MinuteBudget:
    """A limit on events of one source in a minute, and on sources; threads share it."""

    def __init__(self, events: int, sources: int = _PRINCIPALS) -> None:
        self._events = events
        self._sources = sources
        self._lock = threading.Lock()
        self._minute = 0
        self._spent: Counter[str] = Counter()

    def spend(self, source: str) -> bool:
        """Returns whether the source has one left, and takes it."""
        minute = int(time.monotonic() // 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._spent = minute, Counter()
            if source not in self._spent and len(self._spent) >= self._sources:
                return False
            self._spent[source] += 1
            return self._spent[source] <= self._events
