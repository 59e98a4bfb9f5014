"""Times as Postgres has them: some are none that Python knows, before year 1 and after 9999.

Whoever owns the database may write them, ``infinity`` too, and one would keep all rows of its
statement from being read. They are read as times that no server of ours writes, so a MAC over them
fails as over any other change.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
from psycopg import DataError
from psycopg.abc import Buffer
from psycopg.types.datetime import TimestamptzBinaryLoader, TimestamptzLoader
from sqlalchemy import Engine, event

__all__ = ["read_all_times"]

_FIRST = datetime(1000, 1, 1, tzinfo=UTC)
_LAST = datetime(9000, 1, 1, tzinfo=UTC)


class _BinaryLoader(TimestamptzBinaryLoader):
    def load(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except DataError:
            return _FIRST if bytes(data)[0] & 0x80 else _LAST


class _TextLoader(TimestamptzLoader):
    def load(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except DataError:
            text = bytes(data)
            return _FIRST if text.startswith(b"-") or text.endswith(b"BC") else _LAST


def read_all_times(engine: Engine) -> None:
    """Has an engine's connections read what Python cannot."""

    def register(connection: psycopg.Connection, _: object) -> None:
        for loader in (_BinaryLoader, _TextLoader):
            connection.adapters.register_loader("timestamptz", loader)

    event.listen(engine, "connect", register)
