"""Reading the audit out of Postgres: verification and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from vault.audit.chain import KeyOf
from vault.audit.checkpoint import Checkpoint, CheckpointHead
from vault.audit.failures import DRIVER_ERRORS, translate
from vault.audit.record import Head, Record, Writer
from vault.audit.verify import Snapshot, verify
from vault.errors import AuditUnavailable, Reason
from vault.service.oversight import AuditReport

__all__ = ["PostgresAuditReader"]

_FETCH = 1000  # records held in memory at once
_WRITERS = text("SELECT ordinal, writer, server FROM audit_writers ORDER BY ordinal")
_HEADS = text("SELECT writer, number, mac, key_version, head_mac FROM audit_heads")
_RECORD = "SELECT writer, number, key_version, previous, mac, body FROM audit_records"
_OPENINGS = text(f"{_RECORD} WHERE number = 1")
_RECORDS = text(f"{_RECORD} ORDER BY writer, number")
_CHECKPOINT = text(
    "SELECT now(), h.writer, h.number, h.mac FROM audit_heads h"
    " JOIN audit_writers w USING (writer) ORDER BY w.ordinal"
)


class PostgresAuditReader:
    """The AuditVerifier over Postgres; also makes checkpoints."""

    def __init__(self, engine: Engine, key_of: KeyOf) -> None:
        """Takes where the audit key of a version is (see ``verify``)."""
        self._engine = engine
        self._key_of = key_of

    def verify(
        self, checkpoint: Checkpoint | None = None, *, deadline: float | None = None
    ) -> AuditReport:
        """Verifies the whole audit as of now.

        Raises AuditUnavailable (DEADLINE_EXCEEDED at ``deadline``), KeysUnavailable.
        """
        with _our_errors(), self._snapshot() as connection:
            return verify(_snapshot(connection, deadline), self._key_of, checkpoint)

    def checkpoint(self) -> Checkpoint | None:
        """Returns the heads as of now, None where nothing was ever written.

        Verify first: a checkpoint says what is there, not that it is right. Raises
        AuditUnavailable.
        """
        with _our_errors(), self._snapshot() as connection:
            rows = connection.execute(_CHECKPOINT).all()
        heads = [CheckpointHead(writer, number, mac) for _, writer, number, mac in rows]
        return Checkpoint(rows[0][0], heads) if rows else None

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """Opens a read-only transaction that sees heads and records as of one moment."""
        with self._engine.connect() as connection:
            yield connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )


def _in_time(records: Iterator[Record], deadline: float | None) -> Iterator[Record]:
    for count, record in enumerate(records):
        if count % _FETCH == 0 and deadline is not None and time.monotonic() > deadline:
            raise AuditUnavailable(
                "the audit is too long to be verified before the deadline: allow more time",
                reason=Reason.DEADLINE_EXCEEDED,
            )
        yield record


def _snapshot(connection: Connection, deadline: float | None) -> Snapshot:
    return Snapshot(
        writers=[Writer(*row) for row in connection.execute(_WRITERS)],
        heads={row.writer: Head(*row) for row in connection.execute(_HEADS)},
        openings=[Record(*row) for row in connection.execute(_OPENINGS)],
        records=_in_time(
            (
                Record(*row)
                for row in connection.execute(_RECORDS, execution_options={"yield_per": _FETCH})
            ),
            deadline,
        ),
    )


@contextmanager
def _our_errors() -> Iterator[None]:
    failure: AuditUnavailable | None = None
    try:
        yield
    except DRIVER_ERRORS as error:
        failure = translate(error)
    if failure is not None:
        raise failure
