"""A server checks the audit periodically, before any auditor asks.

It reads as auditors read. Besides what they would find, it finds records of this
server that get no position: whoever hides them from every integrator hides them from the
log, and from all other servers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from vault.audit.chain import FindingKind
from vault.audit.chain_heads import ChainHead
from vault.audit.reading import PostgresAuditReader
from vault.service.audit import Finding

__all__ = ["AuditMonitor"]

_PATIENCE = 30.0  # seconds within which every record has its position


class AuditMonitor:
    """The checks of one process. For one thread.

    Args:
        chains: returns this process's writers and the last record of each.
        patience: seconds for which a record may wait for its position.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self,
        reader: PostgresAuditReader,
        chains: Callable[[], Sequence[ChainHead]],
        *,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._chains = chains
        self._patience = patience
        self._clock = clock
        # By writer: a record without a position, and when it was first seen so.
        self._waiting: dict[UUID, tuple[int, float]] = {}

    def check(self) -> Sequence[Finding]:
        """Returns what is wrong. Raises AuditUnavailable."""
        chains = self._chains()
        findings, logged = self._reader.quick_check([chain.writer for chain in chains])
        return [*findings, *self._forgotten(chains, logged)]

    def _forgotten(self, chains: Sequence[ChainHead], logged: dict[UUID, int]) -> list[Finding]:
        now, found = self._clock(), []
        for chain in chains:
            last = logged.get(chain.writer, 0)
            number, since = self._waiting.get(chain.writer, (0, now))
            if number <= last:  # what waited has its position
                number, since = chain.number, now
            self._waiting[chain.writer] = number, since
            if number > last and now - since > self._patience:
                message = f"record {last + 1}, which this server wrote, gets no position in the log"
                found.append(
                    Finding(str(chain.writer), last + 1, FindingKind.TRUNCATED.value, message)
                )
        return found
