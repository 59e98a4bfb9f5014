"""A server checks a sample of erased tokens periodically, before any auditor asks."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Engine

from vault.audit.chain import KeyOf
from vault.audit.erasure_check import check_again, sample_erasures
from vault.postgres.failures import translate_for_audit, translated
from vault.service.audit import Finding

__all__ = ["ErasureMonitor"]

_KEPT = 3  # lists that are checked again, whole, until they are in order


class ErasureMonitor:
    """The checks of one process, each of a few lists. For one thread.

    What was found once is checked again: a sample that misses it proves nothing.
    """

    def __init__(self, engine: Engine, key_of: KeyOf) -> None:
        """Takes what returns the audit key of a version."""
        self._engine = engine
        self._key_of = key_of
        self._wrong: list[tuple[UUID, int]] = []

    @translated(translate_for_audit)
    def check(self) -> Sequence[Finding]:
        """Returns what is wrong. Raises AuditUnavailable, KeysUnavailable."""
        with self._engine.connect() as connection:
            reading = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            found = check_again(reading, self._key_of, self._wrong) if self._wrong else []
            found += sample_erasures(reading, self._key_of)
        places = dict.fromkeys((UUID(each.writer), each.number) for each in found)
        self._wrong = list(places)[:_KEPT]
        # Of a list that was found whole, a sample says less.
        first = {(each.writer, each.number, each.kind): each for each in reversed(found)}
        return list(reversed(first.values()))
