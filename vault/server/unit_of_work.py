"""The work and its audit record in one Postgres transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from traceback import clear_frames
from typing import Generic, TypeVar, overload

from sqlalchemy import Engine

from vault.audit.appender import PostgresAuditAppender
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.transaction_appender import transaction_appender
from vault.errors import AuditUnavailable, Reason, TokenvaultError
from vault.model import AuditEvent, StoredTokens
from vault.postgres.begin import seconds_left
from vault.postgres.transaction import OpenTransaction, retried, transaction
from vault.server.sharing.group_commit import GroupCommit
from vault.server.sharing.shared_lookups import SharedLookups
from vault.service.ports import Transaction, unchanged
from vault.store.budgets import PostgresBudgetStore
from vault.store.freezes import PostgresFreezeStore
from vault.store.honey import PostgresHoneyStore
from vault.store.limits import PostgresLimitStore
from vault.store.lookups import Lookup
from vault.store.outbox import PostgresOutbox
from vault.store.reveals import PostgresRevealStore
from vault.store.token_specs import PostgresTokenSpecStore
from vault.store.tokens import PostgresTokenStore
from vault.telemetry.spans import OFF, Spans

__all__ = ["PostgresUnitOfWork"]

T = TypeVar("T")
R = TypeVar("R")


class _CallTransaction:
    """The transaction that the work gets. It begins when the database is first asked, if at all.

    What only looks tokens up, and comes first, needs none.
    """

    def __init__(
        self,
        begin: Callable[[], OpenTransaction],
        chain_heads: ChainHeadPool,
        find: Callable[[Lookup], StoredTokens | None],
    ) -> None:
        self.audit = _CallAudit(begin, chain_heads)
        self._find = find

    @property
    def opened(self) -> OpenTransaction | None:
        return self.audit.opened

    def begin(self) -> OpenTransaction:
        """Begins, if it has not yet. Raises StoreUnavailable."""
        return self.audit.begin()

    @cached_property  # it remembers what the transaction has inserted
    def tokens(self) -> PostgresTokenStore:
        # Neither leads back here: what a call holds must not wait for the garbage collector.
        audit, find = self.audit, self._find
        return PostgresTokenStore(
            lambda: audit.begin().connection,
            lambda lookup: find(lookup) if audit.opened is None else None,
        )

    @property
    def token_specs(self) -> PostgresTokenSpecStore:
        return PostgresTokenSpecStore(self.begin().connection)

    @property
    def limits(self) -> PostgresLimitStore:
        return PostgresLimitStore(self.begin().connection)

    @property
    def budgets(self) -> PostgresBudgetStore:
        return PostgresBudgetStore(self.begin().connection)

    @property
    def reveals(self) -> PostgresRevealStore:
        return PostgresRevealStore(self.begin().connection)

    @property
    def freezes(self) -> PostgresFreezeStore:
        return PostgresFreezeStore(self.begin().connection)

    @property
    def outbox(self) -> PostgresOutbox:
        return PostgresOutbox(self.begin().connection)

    @property
    def honey(self) -> PostgresHoneyStore:
        return PostgresHoneyStore(self.begin().connection)


class _CallAudit:
    """A call's record, until it is known in which transaction it goes."""

    def __init__(self, begin: Callable[[], OpenTransaction], chain_heads: ChainHeadPool) -> None:
        self._begin = begin
        self._chain_heads = chain_heads
        self.opened: OpenTransaction | None = None
        self.event: AuditEvent | None = None
        self.tombstoned: Collection[str] = ()
        self._audit: PostgresAuditAppender | None = None

    def begin(self) -> OpenTransaction:
        """Begins a transaction of the call's own, if it has none yet; the record goes there.

        Raises StoreUnavailable.
        """
        if self.opened is None:
            self.opened = self._begin()
            self._audit = transaction_appender(self.opened, self._chain_heads)
            if self.event is not None:
                self._audit.append(self.event, self.tombstoned)
        return self.opened

    def append(self, event: AuditEvent, tombstoned: Collection[str] = ()) -> None:
        """As ``AuditAppender``; why no record can be written may be raised after the work."""
        if self.event is not None:
            raise _second_record()
        self.event, self.tombstoned = event, tombstoned
        if self._audit is not None:
            self._audit.append(event, tombstoned)

    def append_with_receipt(self, event: AuditEvent) -> str:
        """As ``AuditAppender``. The record's place is known only in a transaction of the call's."""
        self.begin()
        if self._audit is None or self.event is not None:
            raise _second_record()
        self.event = event
        return self._audit.append_with_receipt(event)


def _second_record() -> AuditUnavailable:
    return AuditUnavailable("a transaction writes one audit record only", reason=Reason.INTERNAL)


class _DeferredAnswer(Generic[T, R]):
    """The call's answer, made while its commit is on its way."""

    def __init__(self, finish: Callable[[T], R], result: T) -> None:
        self._finish = finish
        self._result = result
        self._made: list[R] = []
        self._error: Exception | None = None

    def __call__(self) -> None:
        """Makes it, once, and keeps what is raised."""
        if self._made or self._error is not None:
            return
        try:
            self._made.append(self._finish(self._result))
        except Exception as error:  # noqa: BLE001 - the commit has begun, and its end comes first
            self._error = error

    def answer(self) -> R:
        """Returns it, or raises what was raised."""
        if self._error is None:
            return self._made[0]
        try:
            raise self._error
        finally:
            self._error = None  # it leads back here


class PostgresUnitOfWork:
    """The UnitOfWork of one server process; threads share it."""

    def __init__(self, engine: Engine, chain_heads: ChainHeadPool, spans: Spans = OFF) -> None:
        self._engine = engine
        self._chain_heads = chain_heads
        self._spans = spans
        self._group_commit = GroupCommit(engine, chain_heads)
        self._lookups = SharedLookups(engine)
        self._lock = threading.Lock()
        self._running = 0

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
            StoreUnavailable: the database is unavailable, refuses, or was too slow for the
                deadline (reason DEADLINE_EXCEEDED). After a lost connection during the
                commit the work may have been done: the audit shows it.
            AuditUnavailable: the audit record could not be written; nothing was done.
        """
        try:
            with self._counted() as only:
                return retried(lambda: self._attempt(work, finish, deadline, only), deadline)
        except TokenvaultError as error:
            # The frames that raised it hold it, and it them: with all the call's values they
            # would wait for the garbage collector.
            clear_frames(error.__traceback__)
            raise

    @contextmanager
    def _counted(self) -> Iterator[bool]:
        """Counts a call for the block; yields whether it is the only one."""
        with self._lock:
            self._running += 1
            alone = self._running == 1
        try:
            yield alone
        finally:
            with self._lock:
                self._running -= 1

    def _attempt(
        self,
        work: Callable[[Transaction], T],
        finish: Callable[[T], R],
        deadline: float | None,
        eager: bool,
    ) -> R:
        seconds_left(deadline)
        with self._spans.step("transaction"):
            # The commit begins where the inner block ends, so its span is closed out here.
            with ExitStack() as commit, ExitStack() as own:
                begin = partial(own.enter_context, transaction(self._engine, deadline))
                find = partial(self._lookups.find, deadline=deadline)
                call = _CallTransaction(begin, self._chain_heads, find)
                if eager:  # the BEGIN is under way beside the work, and nobody is here to share it
                    call.begin()
                answer = _DeferredAnswer(finish, work(call))
                if call.audit.tombstoned:  # its list goes with the record
                    call.begin()
                if call.opened is not None:
                    call.opened.finish = answer
                    commit.enter_context(self._spans.step("commit"))
            event = call.audit.event
            if call.opened is None and event is not None:
                with self._spans.step("commit"):
                    self._group_commit.commit(event, deadline, answer)
            answer()
        return answer.answer()
