"""Appending to the audit in Postgres, as the last statement of a call's transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import Protocol, cast
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection

from vault.audit.chain_heads import ChainHead, ChainHeadPool
from vault.audit.erasures import make_list
from vault.audit.record import (
    NO_MAC,
    Opening,
    event_body,
    make_head,
    make_record,
    opening_body,
    policy_body,
)
from vault.errors import AuditUnavailable, Reason
from vault.model import AuditEvent, PolicyChange
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.failures import sqlstate_of, translate_for_audit
from vault.postgres.transaction import execute

__all__ = ["CloseWith", "PostgresAuditLog", "Started"]

_log = structlog.get_logger(__name__)
_execute = partial(execute, failure_of=translate_for_audit)

CloseWith = Callable[
    [str, Sequence[UUID | int | bytes | str], Callable[[BaseException], AuditUnavailable]], None
]


class Started(Protocol):
    """The transaction that the record is written in. Both raise StoreUnavailable.

    Read as late as possible: until then its BEGIN may be unanswered.
    """

    @property
    def connection(self) -> Connection:
        """Ready for statements."""

    @property
    def now(self) -> datetime:
        """When it began by Postgres's clock: the records' time."""


class _Body(Protocol):
    """Writes a record's body for its place."""

    def __call__(self, *, server: str, writer: UUID, number: int, now: datetime) -> str: ...


_MOST_WRITERS = 2**48  # more than are opened in all time

# The head moves on from exactly where the chain head stands, or no record is written. The COMMIT
# comes along and must then not happen: dividing by the number of records is an error.
_APPEND = """
WITH head AS (
    UPDATE audit_heads SET number = $2, mac = $3, key_version = $4, head_mac = $5
    WHERE writer = $1 AND number = $2 - 1 AND mac = $6
    RETURNING writer
), record AS (
    INSERT INTO audit_records (writer, number, key_version, previous, mac, body)
    SELECT writer, $2, $4, $6, $3, $7 FROM head
    RETURNING number
)
SELECT 1 / count(*) FROM record
"""
_APPEND_WITH_LIST = _APPEND.replace(
    ")\nSELECT",
    """), list AS (
    INSERT INTO audit_erasures (writer, number, key_version, tenant, field, salt, sealed)
    SELECT writer, $2, $4, $8, $9, $10, $11 FROM head
    RETURNING number
)
SELECT""",
).replace("FROM record\n", "FROM record CROSS JOIN list\n")
_NO_RECORD = "22012"  # division_by_zero
_LOCK = "SELECT pg_advisory_xact_lock(%(lock)s)"
_LAST_WRITER = """
SELECT w.ordinal, w.writer, h.number, h.mac
FROM audit_writers w LEFT JOIN audit_heads h USING (writer)
ORDER BY w.ordinal DESC LIMIT 1
"""
_OPEN = """
WITH writer AS (
    INSERT INTO audit_writers (ordinal, writer, server, opened)
    VALUES (%(ordinal)b, %(writer)b, %(server)b, %(opened)b)
    RETURNING writer
), head AS (
    INSERT INTO audit_heads (writer, number, mac, key_version, head_mac)
    SELECT writer, %(number)b, %(mac)b, %(key_version)b, %(head_mac)b FROM writer
)
INSERT INTO audit_records (writer, number, key_version, previous, mac, body)
SELECT writer, %(number)b, %(key_version)b, %(previous)b, %(mac)b, %(body)b FROM writer
RETURNING number
"""


class PostgresAuditLog:
    """The AuditLog of one transaction.

    Whoever ends the transaction says how it ended: ``committed``, ``rolled_back`` or
    ``in_doubt``.
    """

    def __init__(self, started: Started, chain_heads: ChainHeadPool, close_with: CloseWith) -> None:
        """Takes the open transaction.

        Args:
            close_with: takes the statement that goes along with the COMMIT, its parameters,
                and what makes our error of its failure.
        """
        self._started = started
        self._chain_heads = chain_heads
        self._close_with = close_with
        self._leased: ChainHead | None = None
        self._written: ChainHead | None = None
        self._named: ChainHead | None = None
        self._opened: Opening | None = None

    def append(self, event: AuditEvent, tombstoned: Collection[str] = ()) -> None:
        """Makes the call's record, and the list of what it tombstoned, to go with the COMMIT.

        Raises:
            AuditUnavailable: a second record, or the chain cannot be opened.
            KeysUnavailable: there is no key for it.
            StoreUnavailable: the transaction could not begin.
        """
        self._append(partial(event_body, event), event, tombstoned)

    def append_policy_change(self, change: PolicyChange) -> None:
        """Makes the record of a policy that comes into force with this transaction.

        Raises as ``append``.
        """
        self._append(partial(policy_body, change))

    def _append(
        self, body_at: _Body, event: AuditEvent | None = None, tombstoned: Collection[str] = ()
    ) -> None:
        if self._written is not None:
            raise AuditUnavailable(
                "a transaction writes one audit record only", reason=Reason.INTERNAL
            )
        now = self._started.now
        self._leased = self._chain_heads.lease()
        chain_head = self._leased or self._open()
        number = chain_head.number + 1
        kept = None
        if event is not None and tombstoned:
            place = (chain_head.writer, number, event.tenant, event.field)
            kept = make_list(self._chain_heads.key(), *place, tombstoned)
            body_at = partial(event_body, event, erasure=kept.digest)
        body = body_at(
            server=self._chain_heads.server, writer=chain_head.writer, number=number, now=now
        )
        record = make_record(
            self._chain_heads.key(), chain_head.writer, number, chain_head.mac, body
        )
        head = make_head(self._chain_heads.key(), record)
        placed = (record.writer, record.number, record.mac, record.key_version)
        values = (*placed, head.head_mac, record.previous, record.body)
        listed = () if kept is None else (kept.tenant, kept.field, kept.salt, kept.sealed)
        statement = _APPEND if kept is None else _APPEND_WITH_LIST
        self._close_with(
            statement, (*values, *listed), lambda error: self._refused(error, chain_head)
        )
        self._written = chain_head.after(record)

    def _refused(self, error: BaseException, chain_head: ChainHead) -> AuditUnavailable:
        if sqlstate_of(error) != _NO_RECORD:
            return translate_for_audit(error)
        # Another process holds this chain, or the audit was tampered with. One that was opened
        # in this same transaction goes with it.
        if self._leased is not None:
            self._leased = None
            self._chain_heads.lose(chain_head)
        _log.error(
            "the audit's chain was changed", writer=str(chain_head.writer), number=chain_head.number
        )
        return AuditUnavailable("the audit's chain is not where this server left it")

    def committed(self) -> None:
        """The transaction was committed: the chain head moves on."""
        if self._named is not None:
            self._chain_heads.named(self._named)
        if self._opened is not None:
            self._chain_heads.keys_named(self._opened.keys)
        if self._written is not None:
            self._chain_heads.give_back(self._written)

    def rolled_back(self) -> None:
        """The transaction was rolled back: the chain head stays where it was."""
        if self._leased is not None:
            self._chain_heads.give_back(self._leased)

    def in_doubt(self) -> None:
        """Nobody knows whether it was committed: the chain head is given up."""

    def _open(self) -> ChainHead:
        """Opens a new writer in this same transaction.

        The lock makes ordinals gapless. It is held until the commit, which follows at once.
        """
        connection, now = self._started.connection, self._started.now
        _execute(connection, _LOCK, {"lock": int(AdvisoryLock.OPENING)})
        last = _execute(connection, _LAST_WRITER, {})
        self._named = self._chain_heads.lost()
        opening = _opening(last[0] if last else None, self._named)
        opening = self._opened = replace(opening, keys=self._chain_heads.keys())
        writer = uuid4()
        server = self._chain_heads.server
        body = opening_body(opening, server=server, writer=writer, now=now)
        record = make_record(self._chain_heads.key(), writer, 1, NO_MAC, body)
        placed = {"ordinal": opening.ordinal, "server": server, "opened": now}
        head = {"head_mac": make_head(self._chain_heads.key(), record).head_mac}
        if not _execute(connection, _OPEN, {**asdict(record), **head, **placed}):
            raise AuditUnavailable("the audit's chain was not opened", reason=Reason.INTERNAL)
        return ChainHead(writer, 1, record.mac)


def _opening(last: tuple[object, ...] | None, lost: ChainHead | None) -> Opening:
    # What this process last committed is a witness of its own, whatever the database says.
    chain = (lost.writer, lost.number, lost.mac) if lost else None
    if last is None:
        return Opening(1 if chain is None else 2, chain, chain)
    ordinal, writer, number, mac = cast("tuple[int, UUID, int | None, bytes | None]", tuple(last))
    if ordinal > _MOST_WRITERS:
        raise AuditUnavailable(
            f"audit_writers has a writer {ordinal} that no server opened: run"
            " `tokenvault audit verify`, and have the owner delete its row",
            reason=Reason.INTERNAL,
        )
    # A writer without a head was tampered with; verification says so, serving goes on.
    return Opening(ordinal + 1, (writer, number or 0, mac or NO_MAC), chain)
