"""The work and its audit record in one Postgres transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Engine

from vault.audit.lanes import LanePool
from vault.audit.postgres import CloseWith, PostgresAuditLog
from vault.errors import VaultError
from vault.rpc.spans import OFF, Spans
from vault.service.ports import Transaction
from vault.store.limits import PostgresLimitStore
from vault.store.round_trip import Command, Parameter
from vault.store.shapes import PostgresShapeStore
from vault.store.tokens import PostgresTokenStore
from vault.store.transaction import Closing, Ending, OpenTransaction, retried, transaction

__all__ = ["PostgresUnitOfWork"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _PostgresTransaction:
    tokens: PostgresTokenStore
    audit: PostgresAuditLog
    shapes: PostgresShapeStore
    limits: PostgresLimitStore


class PostgresUnitOfWork:
    """The UnitOfWork of one server process; threads share it."""

    def __init__(self, engine: Engine, lanes: LanePool, spans: Spans = OFF) -> None:
        self._engine = engine
        self._lanes = lanes
        self._spans = spans

    def run(self, work: Callable[[Transaction], T], *, deadline: float | None = None) -> T:
        """Runs ``work`` and commits; runs it again, bounded, after a deadlock.

        Raises:
            StoreUnavailable: the database is away, refuses, or was too slow for the
                deadline (reason DEADLINE_EXCEEDED). After a lost connection during the
                commit the work may have been done: the audit says.
            AuditUnavailable: the audit record could not be written; nothing was done.
        """
        return retried(lambda: self._attempt(work, deadline), deadline)

    def _attempt(self, work: Callable[[Transaction], T], deadline: float | None) -> T:
        # The commit begins where the block below ends, so its span is closed out here.
        with (
            self._spans.step("transaction"),
            ExitStack() as commit,
            transaction(self._engine, deadline) as opened,
        ):
            connection = opened.connection
            audit = PostgresAuditLog(connection, self._lanes, opened.now, _closing(opened))
            opened.at_end.append(lambda ending: _settle(audit, ending))
            answer = work(
                _PostgresTransaction(
                    PostgresTokenStore(connection),
                    audit,
                    PostgresShapeStore(connection),
                    PostgresLimitStore(connection),
                )
            )
            commit.enter_context(self._spans.step("commit"))
            return answer


def _closing(opened: OpenTransaction) -> CloseWith:
    """Has a statement go along with the transaction's COMMIT."""

    def close_with(
        text: str, values: Sequence[Parameter], refused: Callable[[BaseException], VaultError]
    ) -> None:
        opened.closing = Closing(Command(text, values), refused)

    return close_with


def _settle(audit: PostgresAuditLog, ending: Ending) -> None:
    match ending:
        case Ending.COMMITTED:
            audit.committed()
        case Ending.ROLLED_BACK:
            audit.rolled_back()
        case Ending.IN_DOUBT:
            audit.in_doubt()
