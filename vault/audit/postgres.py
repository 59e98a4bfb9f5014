"""Appending to the audit in Postgres, as the last statement of a call's transaction."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection

from vault.audit.failures import execute
from vault.audit.lanes import Lane, LanePool
from vault.audit.record import (
    NO_MAC,
    Opening,
    Record,
    event_body,
    make_head,
    make_record,
    opening_body,
)
from vault.errors import AuditUnavailable, Reason
from vault.model import AuditEvent

__all__ = ["PostgresAuditLog"]

_log = structlog.get_logger(__name__)

_OPENING_LOCK = 0x746F6B656E03

# The head moves on from exactly where the lane stands, or no record is written.
_APPEND = """
WITH head AS (
    UPDATE audit_heads
    SET number = %(number)b, mac = %(mac)b, key_version = %(key_version)b, head_mac = %(head_mac)b
    WHERE writer = %(writer)b AND number = %(number)b - 1 AND mac = %(previous)b
    RETURNING writer
)
INSERT INTO audit_records (writer, number, key_version, previous, mac, body)
SELECT writer, %(number)b, %(key_version)b, %(previous)b, %(mac)b, %(body)b FROM head
RETURNING number
"""
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
"""


class PostgresAuditLog:
    """The AuditLog of one transaction.

    Whoever ends the transaction says how it ended: ``committed``, ``rolled_back`` or
    ``in_doubt``.
    """

    def __init__(self, connection: Connection, lanes: LanePool, now: datetime) -> None:
        """Takes when the transaction began by Postgres's clock: the records' time."""
        self._connection = connection
        self._lanes = lanes
        self._now = now
        self._leased: Lane | None = None
        self._written: Lane | None = None
        self._named: Lane | None = None

    def append(self, event: AuditEvent) -> None:
        """Writes the call's record. Raises AuditUnavailable, and KeysUnavailable of the key."""
        if self._written is not None:
            raise AuditUnavailable(
                "a transaction writes one audit record only", reason=Reason.INTERNAL
            )
        self._leased = self._lanes.lease()
        lane = self._leased or self._open()
        number = lane.number + 1
        body = event_body(
            event, server=self._lanes.server, writer=lane.writer, number=number, now=self._now
        )
        record = make_record(self._lanes.key(), lane.writer, number, lane.mac, body)
        if not execute(self._connection, _APPEND, self._columns(record)):
            # Another process holds this chain, or the audit was tampered with.
            self._leased = None
            self._lanes.lose(lane)
            _log.error("the audit's chain was changed", writer=str(lane.writer), number=lane.number)
            raise AuditUnavailable("the audit's chain is not where this server left it")
        self._written = lane.after(record)

    def committed(self) -> None:
        """The transaction was committed: the lane moves on."""
        if self._named is not None:
            self._lanes.named(self._named)
        if self._written is not None:
            self._lanes.give_back(self._written)

    def rolled_back(self) -> None:
        """The transaction was rolled back: the lane stays where it was."""
        if self._leased is not None:
            self._lanes.give_back(self._leased)

    def in_doubt(self) -> None:
        """Nobody knows whether it was committed: the lane is given up."""

    def _open(self) -> Lane:
        """Opens a new writer in this same transaction.

        The lock makes ordinals gapless. It is held until the commit, which follows at once.
        """
        execute(self._connection, _LOCK, {"lock": _OPENING_LOCK})
        last = execute(self._connection, _LAST_WRITER, {})
        self._named = self._lanes.lost()
        opening = _opening(last[0] if last else None, self._named)
        writer = uuid4()
        server = self._lanes.server
        body = opening_body(opening, server=server, writer=writer, now=self._now)
        record = make_record(self._lanes.key(), writer, 1, NO_MAC, body)
        placed = {"ordinal": opening.ordinal, "server": server, "opened": self._now}
        execute(self._connection, _OPEN, {**self._columns(record), **placed})
        return Lane(writer, 1, record.mac)

    def _columns(self, record: Record) -> dict[str, object]:
        head = make_head(self._lanes.key(), record)
        return {
            "writer": record.writer,
            "number": record.number,
            "key_version": record.key_version,
            "previous": record.previous,
            "mac": record.mac,
            "body": record.body,
            "head_mac": head.head_mac,
        }


def _opening(last: tuple[object, ...] | None, lost: Lane | None) -> Opening:
    if last is None and lost is None:
        return Opening(1, None)
    if last is None or lost is not None:
        # What this process last committed is worth more than what the database says now.
        ordinal = 2 if last is None else cast("int", last[0]) + 1
        return Opening(ordinal, (lost.writer, lost.number, lost.mac) if lost else None)
    ordinal, writer, number, mac = cast("tuple[int, UUID, int | None, bytes | None]", tuple(last))
    # A writer without a head was tampered with; verification says so, serving goes on.
    return Opening(ordinal + 1, (writer, number or 0, mac or NO_MAC))
