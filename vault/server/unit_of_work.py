"""The work and its audit record in one Postgres transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from traceback import clear_frames
from typing import TypeVar, overload

from sqlalchemy import Engine

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.postgres import CloseWith, PostgresAuditLog
from vault.errors import VaultError
from vault.postgres.pipelined import Command, Parameter
from vault.postgres.transaction import Closing, Ending, OpenTransaction, retried, transaction
from vault.service.ports import Transaction, unchanged
from vault.store.limits import PostgresLimitStore
from vault.store.token_specs import PostgresTokenSpecStore
from vault.store.tokens import PostgresTokenStore
from vault.telemetry.spans import OFF, Spans

__all__ = ["PostgresUnitOfWork", "audit_of"]

T = TypeVar("T")
R = TypeVar("R")


class _PostgresTransaction:
    """The transaction that the work gets. Only what it uses waits for the BEGIN."""

    def __init__(self, opened: OpenTransaction, audit: PostgresAuditLog) -> None:
        self._opened = opened
        self.audit = audit

    @cached_property  # it remembers what the transaction has inserted
    def tokens(self) -> PostgresTokenStore:
        return PostgresTokenStore(self._opened.connection)

    @property
    def token_specs(self) -> PostgresTokenSpecStore:
        return PostgresTokenSpecStore(self._opened.connection)

    @property
    def limits(self) -> PostgresLimitStore:
        return PostgresLimitStore(self._opened.connection)


class PostgresUnitOfWork:
    """The UnitOfWork of one server process; threads share it."""

    def __init__(self, engine: Engine, chain_heads: ChainHeadPool, spans: Spans = OFF) -> None:
        self._engine = engine
        self._chain_heads = chain_heads
        self._spans = spans

    @overload
    def run(self, work: Callable[[Transaction], T], *, deadline: float | None = None) -> T: ...

    @overload
    def run(
        self,
        work: Callable[[Transaction], T],
        finish: Callable[[T], R],
        *,
        deadline: float | None = None,
    ) -> R: ...

    def run(
        self,
        work: Callable[[Transaction], T],
        finish: Callable[[T], object] = unchanged,
        *,
        deadline: float | None = None,
    ) -> object:
        """Runs ``work`` and commits; runs it again, bounded, after a deadlock.

        Returns what ``finish`` makes of the work's result while the commit is on its way.

        Raises:
            StoreUnavailable: the database is away, refuses, or was too slow for the
                deadline (reason DEADLINE_EXCEEDED). After a lost connection during the
                commit the work may have been done: the audit shows it.
            AuditUnavailable: the audit record could not be written; nothing was done.
        """
        try:
            return retried(lambda: self._attempt(work, finish, deadline), deadline)
        except VaultError as error:
            # The frames that raised it hold it, and it them: with all the call's values they
            # would wait for the garbage collector.
            clear_frames(error.__traceback__)
            raise

    def _attempt(
        self,
        work: Callable[[Transaction], T],
        finish: Callable[[T], R],
        deadline: float | None,
    ) -> R:
        finished: list[R] = []
        # The commit begins where the block below ends, so its span is closed out here.
        with (
            self._spans.step("transaction"),
            ExitStack() as commit,
            transaction(self._engine, deadline) as opened,
        ):
            audit = audit_of(opened, self._chain_heads)
            result = work(_PostgresTransaction(opened, audit))
            opened.finish = lambda: finished.append(finish(result))
            commit.enter_context(self._spans.step("commit"))
        return finished[0]


def audit_of(opened: OpenTransaction, chain_heads: ChainHeadPool) -> PostgresAuditLog:
    """Returns the audit log of a transaction, which is notified how the transaction ends."""
    audit = PostgresAuditLog(opened, chain_heads, _closing(opened))
    opened.at_end.append(lambda ending: _settle(audit, ending))
    return audit


def _closing(opened: OpenTransaction) -> CloseWith:
    """Returns what sends a statement along with the transaction's COMMIT."""

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
