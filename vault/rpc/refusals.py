"""Calls without a valid identity: one counted audit record per listener, reason and minute.

A stranger can make as many such calls as the network carries; the disk must not fill
with their records, and none may go unseen. Calls turned away from a full server are
counted here too: a record for each would be the load that is being turned away.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from vault.errors import Reason, VaultError
from vault.model import AuditEvent
from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import first_failure_logged, get_log

__all__ = ["RefusalCounter"]

_log = get_log(__name__)


class RefusalCounter:
    """Counts refusals and writes them to the audit now and then.

    Args:
        write: writes one record. Raises VaultError; the counts are then kept.
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
        self._counts: Counter[tuple[Reason, str]] = Counter()
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

    def count(self, reason: Reason, detail: str) -> None:
        """Counts one refused call; ``detail`` is one of a fixed set of messages."""
        with self._lock:
            self._counts[reason, detail] += 1

    def flush(self) -> None:
        """Writes one record per reason seen since the last flush."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        for (reason, detail), count in counts.items():
            _log.warning("calls refused", reason=reason.value, detail=detail, count=count)
            try:
                self._write(self._event(reason, detail, count))
            except VaultError as error:
                _log.error("refusals not audited yet", reason=error.reason.value, count=count)
                with self._lock:
                    self._counts[reason, detail] += count

    def _event(self, reason: Reason, detail: str, count: int) -> AuditEvent:
        return AuditEvent(
            rpc="*",
            outcome="denied",
            principal="",
            peer=f"listener:{self._listener}",
            credential="",
            request_id="",
            policy_digest=self._policy_digest(),
            reason=reason.value,
            purpose=detail,
            counts={"calls": count},
        )
