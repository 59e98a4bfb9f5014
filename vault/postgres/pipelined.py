"""Several statements in one round trip to Postgres, in libpq's pipeline mode.

For what every call needs: BEGIN with its settings, and the audit record with COMMIT. It goes
straight to libpq, because psycopg's own pipeline costs more per statement than the trip that
it saves; only the waiting is psycopg's. Sending and hearing the answer are two steps, so that
work can be done in between. Nothing is prepared, so poolers may sit in between.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format, PipelineStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Wait

__all__ = ["Answers", "Command", "Driver", "Parameter", "PipelinedCommands"]

T = TypeVar("T")
Driver = psycopg.Connection[tuple[object, ...]]
_Scalar = UUID | int | bytes | str
Parameter = _Scalar | list[bytes] | list[str]
_Encoded = tuple[bytes, list[bytes], list[int]]

# By Python type: Postgres's type as its binary protocol numbers it, that of arrays of it, and
# its bytes.
_BINARY: dict[type[_Scalar], tuple[int, int, Callable[..., bytes]]] = {
    UUID: (2950, 2951, lambda value: value.bytes),
    int: (20, 1016, lambda value: value.to_bytes(8, signed=True)),
    bytes: (17, 1001, bytes),
    str: (25, 1009, str.encode),
}
# One dimension, no nulls, the elements' type, how many there are, the first index.
_ARRAY_HEADER = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i")
_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


@dataclass(frozen=True, slots=True)
class Command:
    """A statement with Postgres's own placeholders ($1), and what they stand for.

    A list stands for an array; it is not empty.
    All of a round trip's commands are written before an answer is read: no large ones.
    """

    text: str
    parameters: Sequence[Parameter] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Answers:
    """What Postgres answered, one result per command, in binary.

    Attributes:
        error: of the first command that failed, without Postgres's words; Postgres has
            skipped all after it. None where every one was done.
    """

    results: Sequence[PGresult]
    error: psycopg.Error | None = None


class PipelinedCommands:
    """Commands on their way to Postgres, all at once, and their answers when they are needed."""

    def __init__(self, driver: Driver, commands: Sequence[Command]) -> None:
        """Sends the commands and does not wait for an answer.

        Raises:
            psycopg.OperationalError: the connection was lost, or was too slow for its bounds.
            ValueError, OverflowError: a parameter cannot be encoded; nothing was sent.
        """
        sent = [_encoded(command) for command in commands]
        self._driver = driver
        self._wait(_send(driver.pgconn, sent))

    def answers(self) -> Answers:
        """Waits for the answers; until then, and only once, nothing else may use the connection.

        Raises:
            psycopg.OperationalError: the connection was lost, or was too slow for its bounds.
        """
        return self._wait(_receive(self._driver.pgconn))

    def _wait(self, exchange: PQGen[T]) -> T:
        try:
            return self._driver.wait(exchange)
        except BaseException:
            # Between two answers, or still in pipeline mode: of no use to whoever is next.
            self._driver.pgconn.finish()
            raise


def _encoded(command: Command) -> _Encoded:
    sent = [_binary(value) for value in command.parameters]
    return command.text.encode(), [value for _, value in sent], [oid for oid, _ in sent]


def _binary(value: Parameter) -> tuple[int, bytes]:
    """Returns the type of a parameter, as Postgres numbers it, and its bytes."""
    if isinstance(value, list):
        return _array(value)
    oid, _, encode = _BINARY[type(value)]
    return oid, encode(value)


def _array(items: list[bytes] | list[str]) -> tuple[int, bytes]:
    oid, array_oid, encode = _BINARY[type(items[0])]
    parts = [_ARRAY_HEADER.pack(1, 0, oid, len(items), 1)]
    for item in items:
        encoded = encode(item)
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return array_oid, b"".join(parts)


def _send(pgconn: PGconn, sent: Sequence[_Encoded]) -> PQGen[None]:
    pgconn.enter_pipeline_mode()
    for text, values, types in sent:
        formats = [Format.BINARY] * len(values)
        pgconn.send_query_params(text, values, types, formats, Format.BINARY)
    pgconn.pipeline_sync()
    while pgconn.flush():
        yield Wait.W


def _receive(pgconn: PGconn) -> PQGen[Answers]:
    results: list[PGresult] = []
    error: psycopg.Error | None = None
    if pgconn.pipeline_status == PipelineStatus.OFF:
        # Taken already, by whoever failed right after it: libpq would have no end of nothing.
        raise psycopg.OperationalError("no answer is under way")
    pgconn.consume_input()  # mostly it is there already
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if pgconn.status == ConnStatus.BAD:
            raise psycopg.OperationalError("the connection was lost")
        if result is None:
            continue  # the end of one command's results
        if result.status == ExecStatus.PIPELINE_SYNC:
            break
        if error is None and result.status in _DONE:
            results.append(result)
        elif error is None:
            error = _error_of(result)
    pgconn.exit_pipeline_mode()
    return Answers(results, error)


def _error_of(result: PGresult) -> psycopg.Error:
    """The error of a result: its kind, and none of its texts, which quote what was sent."""
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode("ascii", "replace")
    try:
        return psycopg.errors.lookup(state)()
    except KeyError:
        return psycopg.DatabaseError()
