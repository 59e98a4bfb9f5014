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
from vault.audit.origin import read_origin_in_call
from vault.audit.receipts.receipt import make_receipt
from vault.audit.record import (
    NO_MAC,
    Opening,
    Record,
    RecordId,
    event_body,
    make_head,
    make_record,
    opening_body,
    policy_body,
)
from vault.crypto.field_key import MacKey
from vault.errors import AuditUnavailable, Reason
from vault.model import AuditEvent, PolicyChange
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.failures import sqlstate_of, translate_for_audit
from vault.postgres.pipelined import Parameter
from vault.postgres.transaction import execute

__all__ = ["CloseWith", "PostgresAuditAppender", "RecordBody", "StartedTransaction"]

_log = structlog.get_logger(__name__)
_execute = partial(execute, failure_of=translate_for_audit)

CloseWith = Callable[[str, Sequence[Parameter], Callable[[BaseException], AuditUnavailable]], None]


class StartedTransaction(Protocol):
    """The transaction that the record is written in. Both raise StoreUnavailable.

    Read as late as possible: until then its BEGIN may be unanswered.
    """

    @property
    def connection(self) -> Connection:
        """Ready for statements."""

    @property
    def now(self) -> datetime:
        """When it began by Postgres's clock: the records' time."""


class RecordBody(Protocol):
    """Writes a record's body, which names writer and number."""

    def __call__(self, *, server: str, writer: UUID, number: int, now: datetime) -> str:
        """Returns canonical JSON."""


_MAX_WRITERS = 2**48  # more than are opened in all time

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
# The same for several records; of one it costs a fifth more. An error is dividing by whether
# all of them were written.
_APPEND_ALL = """
WITH head AS (
    UPDATE audit_heads SET number = $2, mac = $3, key_version = $4, head_mac = $5
    WHERE writer = $1 AND number = $7 AND mac = $6
    RETURNING writer
), record AS (
    INSERT INTO audit_records (writer, number, key_version, previous, mac, body)
    SELECT writer, $7 + u.place, $4, u.previous, u.mac, u.body
    FROM head, unnest($8, $9, $10) WITH ORDINALITY AS u (previous, mac, body, place)
    RETURNING number
)
SELECT 1 / (count(*) = $2 - $7)::integer FROM record
"""
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


class PostgresAuditAppender:
    """The AuditAppender of one transaction.

    Whoever ends the transaction says how it ended: ``committed``, ``rolled_back`` or
    ``in_doubt``.
    """

    def __init__(
        self, started: StartedTransaction, chain_heads: ChainHeadPool, close_with: CloseWith
    ) -> None:
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

    def append_with_receipt(self, event: AuditEvent) -> str:
        """Makes the call's record, to go with the COMMIT; returns its receipt.

        Raises as ``append``, and AuditUnavailable (INTERNAL) where the database was restored or
        moved and no server has noticed yet: nobody knows then which log the record will be in.
        """
        origin = read_origin_in_call(self._started.connection)
        record, key = self._append(partial(event_body, event))
        return make_receipt(record, key, origin)

    def append_all(self, events: Sequence[AuditEvent]) -> None:
        """Makes the records of several calls, in this order, to go with one COMMIT.

        Raises as ``append``.
        """
        if len(events) == 1:
            self.append(events[0])
            return
        chain_head, key = self._begin(), self._chain_heads.key()
        records = self._chained(key, chain_head, [partial(event_body, event) for event in events])
        rest: list[Parameter] = [
            chain_head.number,
            [record.previous for record in records],
            [record.mac for record in records],
            [record.body for record in records],
        ]
        self._close(_APPEND_ALL, key, chain_head, records[-1], rest)

    def append_policy_change(self, change: PolicyChange) -> None:
        """Makes the record of a policy that comes into force with this transaction.

        Raises as ``append``.
        """
        self._append(partial(policy_body, change))

    def append_body(self, body_at: RecordBody) -> RecordId:
        """Makes the record of an operator's own act; returns which one it will be.

        Raises as ``append``.
        """
        record, _ = self._append(body_at)
        return RecordId(record.writer, record.number)

    def _append(
        self, body_at: RecordBody, event: AuditEvent | None = None, tombstoned: Collection[str] = ()
    ) -> tuple[Record, MacKey]:
        """Makes a record, to go with the COMMIT; returns it, and the key that it is under."""
        chain_head, key = self._begin(), self._chain_heads.key()
        if event is None or not tombstoned:
            (record,) = self._chained(key, chain_head, [body_at])
            self._close(_APPEND, key, chain_head, record, [record.body])
            return record, key
        of_record = (chain_head.writer, chain_head.number + 1, event.tenant, event.field)
        kept = make_list(key, *of_record, tombstoned)
        listing = partial(event_body, event, erasure=kept.digest)
        (record,) = self._chained(key, chain_head, [listing])
        rest = (record.body, kept.tenant, kept.field, kept.salt, kept.sealed)
        self._close(_APPEND_WITH_LIST, key, chain_head, record, rest)
        return record, key

    def _begin(self) -> ChainHead:
        """Returns the chain head that the transaction goes on from."""
        if self._written is not None:
            raise AuditUnavailable(
                "a transaction writes one audit record only", reason=Reason.INTERNAL
            )
        self._leased = self._chain_heads.lease()
        return self._leased or self._open()

    def _chained(
        self, key: MacKey, chain_head: ChainHead, bodies: Sequence[RecordBody]
    ) -> Sequence[Record]:
        """Makes records of bodies, each chained to the one before."""
        records: list[Record] = []
        now, server = self._started.now, self._chain_heads.server
        writer, previous = chain_head.writer, chain_head.mac
        for number, body_at in enumerate(bodies, chain_head.number + 1):
            body = body_at(server=server, writer=writer, number=number, now=now)
            records.append(make_record(key, writer, number, previous, body))
            previous = records[-1].mac
        return records

    def _close(
        self,
        statement: str,
        key: MacKey,
        chain_head: ChainHead,
        last: Record,
        rest: Sequence[Parameter],
    ) -> None:
        """Has a statement go along with the COMMIT, after which ``last`` is the chain's last."""
        head = make_head(key, last)
        values = (last.writer, last.number, last.mac, last.key_version, head.head_mac)
        self._close_with(
            statement,
            (*values, chain_head.mac, *rest),
            lambda error: self._refused(error, chain_head),
        )
        self._written = chain_head.after(last)

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
            self._chain_heads.mark_named(self._named)
        if self._opened is not None:
            self._chain_heads.mark_manifest_named(self._opened.keys)
        if self._written is not None:
            self._chain_heads.release(self._written)

    def rolled_back(self) -> None:
        """The transaction was rolled back: the chain head stays where it was."""
        if self._leased is not None:
            self._chain_heads.release(self._leased)

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
    # What this process last committed counts by itself, whatever the database says.
    chain = (lost.writer, lost.number, lost.mac) if lost else None
    if last is None:
        return Opening(1 if chain is None else 2, chain, chain)
    ordinal, writer, number, mac = cast("tuple[int, UUID, int | None, bytes | None]", tuple(last))
    if ordinal > _MAX_WRITERS:
        raise AuditUnavailable(
            f"audit_writers has a writer {ordinal} that no server opened: run"
            " `tokenvault audit verify`, and have the owner delete its row",
            reason=Reason.INTERNAL,
        )
    # A writer without a head was tampered with; verification says so, serving goes on.
    return Opening(ordinal + 1, (writer, number or 0, mac or NO_MAC), chain)
