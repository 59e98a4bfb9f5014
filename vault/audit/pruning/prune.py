"""Pruning the audit: declared first, by a record in its log, and only then dropped.

Two logins share it: the service's, which can make records and remove none, and that of the
tables' owner, who can remove them and has no key. What is interrupted, the next run finishes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Engine, text

from vault.audit.chain import KeyOf
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.checkpoint import CheckpointLog
from vault.audit.integrator import Integrator
from vault.audit.pruning.declaration import CALL, NOTHING_TOUCHED, STAYING, Pruning, pruning_body
from vault.audit.pruning.planning import Plan, plan_pruning
from vault.audit.record import RecordId
from vault.audit.transaction_appender import transaction_appender
from vault.crypto.field_key import MacKey
from vault.errors import AuditUnavailable, ConfigError
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.failures import translate_for_audit, translated
from vault.postgres.transaction import execute, retried, transaction

__all__ = ["AuditPruner", "Pruned"]

_execute = partial(execute, failure_of=translate_for_audit)

_SERVER = "tokenvault-audit-prune"  # who opened the chain of the record
_BATCH = 10_000  # positions of one transaction
_PATIENCE = 30.0  # seconds within which the declaration has its place in the log
_PAUSE = 0.2
_LOCK = text("SELECT pg_try_advisory_lock(:lock)")
_NOW = text("SELECT now()")
_ROW = """
INSERT INTO audit_prunings (position, writer, number, sums)
VALUES (%(position)b, %(writer)b, %(number)b, %(sums)b)
"""
_LOGGED = text("SELECT EXISTS (SELECT FROM audit_log WHERE writer = :writer AND number = :number)")
_PLANS = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),"
    " set_config('lock_timeout', '10s', true)"
)
# As ``is_prunable``. A chain's last two records stay: servers know them, and look whether they
# are there; of a commit whose answer was lost, a server knows the one before.
_DROP = text("""
DELETE FROM audit_records r USING audit_log l, audit_heads h
WHERE l.position > :after AND l.position <= :end
  AND r.writer = l.writer AND r.number = l.number AND h.writer = l.writer
  AND r.number > 1 AND r.number < h.number - 1
  AND pg_catalog.strpos(r.body, CAST(:call AS text)) > 0
  AND NOT EXISTS (SELECT FROM unnest(CAST(:staying AS text[])) AS mark
                  WHERE pg_catalog.strpos(pg_catalog.replace(r.body, :nothing, ''), mark) > 0)
""")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a run did.

    Attributes:
        plan: what was declared, or would be.
        dropped: records that this run dropped, those of an interrupted one too.
    """

    plan: Plan
    dropped: int


class AuditPruner:
    """Prunes the audit, one run at a time.

    Args:
        service: of the service's role; only it may write records.
        owner: of the role that owns the tables; only it may drop records.
        key: the active audit key; ``key_of`` those of all versions.
    """

    def __init__(self, service: Engine, owner: Engine, key: MacKey, key_of: KeyOf) -> None:
        self._service = service
        self._owner = owner
        self._key = key
        self._key_of = key_of

    @translated(translate_for_audit)
    def now(self) -> datetime:
        """Returns the time by Postgres's clock. Raises AuditUnavailable."""
        with self._service.connect() as connection:
            now: datetime = connection.execute(_NOW).scalar_one()
            return now

    @translated(translate_for_audit)
    def plan(self, before: datetime, log: CheckpointLog, operator: str) -> Plan:
        """Returns what ``prune`` would do. Raises as ``plan_pruning``, AuditUnavailable."""
        with self._service.connect() as connection:
            reading = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            return plan_pruning(reading, self._key_of, before, log, operator)

    @translated(translate_for_audit)
    def prune(
        self,
        before: datetime,
        log: CheckpointLog,
        operator: str,
        agreed: Callable[[Plan], None] = lambda _: None,
    ) -> Pruned:
        """Declares what is old enough, waits until the log has that, and drops it.

        Args:
            agreed: called with the plan before anything is done; what it raises ends the run.

        Raises ConfigError where another run is under way; as ``plan``.
        """
        with self._alone() as connection:
            plan = self.plan(before, log, operator)
            agreed(plan)
            if plan.pruning is not None:
                self._await_place(self._declare(plan.pruning, plan.sums.to_text()))
            return Pruned(plan, self._drop(connection, plan.position))

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        with self._owner.connect() as connection:
            connection.detach()  # the lock is the session's, and ends with it
            lock = {"lock": int(AdvisoryLock.PRUNING)}
            if not connection.execute(_LOCK, lock).scalar_one():
                raise ConfigError("another pruning is under way: nothing was done")
            connection.commit()
            yield connection

    def _declare(self, pruning: Pruning, sums: str) -> RecordId:
        chain_heads = ChainHeadPool(_SERVER, lambda: self._key)

        def attempt() -> RecordId:
            with transaction(self._service) as opened:
                audit = transaction_appender(opened, chain_heads)
                record = audit.append_body(partial(pruning_body, pruning))
                row = {**asdict(record), "position": pruning.position, "sums": sums}
                _execute(opened.connection, _ROW, row)
            return record

        return retried(attempt, None)

    def _await_place(self, record: RecordId) -> None:
        """Waits until the log has the declaration: nothing is dropped before others can see it."""
        integrator = Integrator(self._service, lambda: self._key, self._key_of)
        wanted = asdict(record)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            integrator.integrate()
            with self._service.connect() as connection:
                if connection.execute(_LOGGED, wanted).scalar_one():
                    return
            time.sleep(_PAUSE)
        raise AuditUnavailable(
            "the pruning is declared, and its record has no place in the log yet: nothing was"
            " dropped. Run it again once the audit is integrated"
        )

    def _drop(self, connection: Connection, end: int) -> int:
        dropped, marks = 0, {"call": CALL, "staying": list(STAYING), "nothing": NOTHING_TOUCHED}
        for after in range(0, end, _BATCH):
            connection.execute(_PLANS)
            bounds = {"after": after, "end": min(end, after + _BATCH)}
            dropped += connection.execute(_DROP, {**bounds, **marks}).rowcount
            connection.commit()
        return dropped
