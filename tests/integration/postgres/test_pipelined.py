"""Several statements in one round trip: what comes back, and what is left when one fails."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from uuid import UUID

import psycopg
import pytest

from vault.dev.postgres import Database
from vault.postgres.pipelined import Answers, Command, PipelinedCommands

Driver = psycopg.Connection[tuple[object, ...]]
CANARY = "4111-CANARY-1111"
BEGIN, COMMIT, ROLLBACK = Command("BEGIN"), Command("COMMIT"), Command("ROLLBACK")


@pytest.fixture
def driver(database: Database) -> Iterator[Driver]:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (number bigint PRIMARY KEY, note text)")
        yield connection


def round_trip(driver: Driver, commands: Sequence[Command]) -> Answers:
    return PipelinedCommands(driver, commands).answers()


def rows(driver: Driver) -> list[tuple[object, ...]]:
    return driver.execute("SELECT number, note FROM kept ORDER BY number").fetchall()


def insert(number: int, note: str) -> Command:
    return Command("INSERT INTO kept VALUES ($1, $2)", (number, note))


@pytest.mark.parametrize(
    ("value", "kind", "sent"),
    [
        (UUID(int=7), "uuid", bytes(15) + b"\x07"),
        (-2, "bigint", b"\xff" * 7 + b"\xfe"),
        (b"\x00\xff'", "bytea", b"\x00\xff'"),
        ("Ä' \\ ;", "text", "Ä' \\ ;".encode()),
        ("", "text", b""),
    ],
)
def test_parameters_arrive_as_they_are(
    driver: Driver, value: UUID | int | bytes | str, kind: str, sent: bytes
) -> None:
    # Its type is declared, or Postgres could not infer that of $1.
    asked = Command("SELECT $1, pg_typeof($1)::text", (value,))
    (result,) = round_trip(driver, [asked]).results
    assert result.get_value(0, 0) == sent
    assert result.get_value(0, 1) == kind.encode()


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        (["Ä' \\ ;", "", '{"a": [1]}'], "text[]"),
        ([b"\x00\xff'", b""], "bytea[]"),
        (["one"], "text[]"),
    ],
)
def test_arrays_arrive_as_they_are(
    driver: Driver, items: list[str] | list[bytes], kind: str
) -> None:
    asked = Command("SELECT unnest($1), pg_typeof($1)::text", (items,))
    (result,) = round_trip(driver, [asked]).results
    found = [result.get_value(row, 0) for row in range(result.ntuples)]
    assert found == [item.encode() if isinstance(item, str) else item for item in items]
    assert result.get_value(0, 1) == kind.encode()


def test_all_is_done_in_one_transaction(driver: Driver) -> None:
    answers = round_trip(driver, [BEGIN, insert(1, "a"), insert(2, "b"), COMMIT])
    assert answers.error is None
    assert [result.command_status for result in answers.results] == [
        b"BEGIN",
        b"INSERT 0 1",
        b"INSERT 0 1",
        b"COMMIT",
    ]
    assert rows(driver) == [(1, "a"), (2, "b")]


def test_the_first_failure_stops_the_rest_and_says_nothing(driver: Driver) -> None:
    answers = round_trip(driver, [BEGIN, insert(1, CANARY), insert(1, CANARY), COMMIT])
    assert len(answers.results) == 2
    assert isinstance(answers.error, psycopg.errors.UniqueViolation)
    assert answers.error.sqlstate == "23505"
    assert "CANARY" not in f"{answers.error!r} {answers.error} {answers} {answers.error.diag}"
    # The COMMIT was skipped, and the connection can be used.
    assert driver.info.transaction_status is psycopg.pq.TransactionStatus.INERROR
    assert round_trip(driver, [ROLLBACK]).error is None
    assert rows(driver) == []


def test_a_state_that_nobody_knows_is_an_error_too(driver: Driver) -> None:
    raising = Command("DO $$ BEGIN RAISE SQLSTATE 'XYZ99'; END $$")
    answers = round_trip(driver, [raising])
    assert type(answers.error) is psycopg.DatabaseError
    assert rows(driver) == []


def test_what_cannot_be_encoded_is_not_sent(driver: Driver) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kind is all that is promised
        round_trip(driver, [insert(1, "a"), insert(2, "\udcff")])
    with pytest.raises(OverflowError):
        round_trip(driver, [insert(1 << 63, "a")])
    assert rows(driver) == []
    assert round_trip(driver, [insert(3, "nul \x00")]).error is not None
    assert rows(driver) == []


@pytest.mark.parametrize("when", ["sending", "waiting"])
def test_who_is_interrupted_leaves_no_connection_behind(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    trip = PipelinedCommands(driver, [insert(1, "a")]) if when == "waiting" else None

    def interrupted(exchange: Generator[object, object, object]) -> object:
        next(exchange, None)
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trip.answers() if trip is not None else PipelinedCommands(driver, [insert(1, "a")])
    assert driver.closed


def test_other_work_is_done_before_the_answers_are_heard(driver: Driver) -> None:
    trip = PipelinedCommands(driver, [BEGIN, insert(1, "a"), COMMIT])
    with psycopg.connect(driver.info.dsn, autocommit=True) as other:
        for _ in range(100):
            if rows(other):
                break
            time.sleep(0.05)
        assert rows(other) == [(1, "a")]
    assert [result.command_status for result in trip.answers().results][-1] == b"COMMIT"
    assert rows(driver) == [(1, "a")]


def test_a_lost_connection_is_an_operational_error(driver: Driver, database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (driver.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        round_trip(driver, [BEGIN, insert(1, "a"), COMMIT])
    assert driver.closed


def test_answers_are_heard_once(driver: Driver) -> None:
    trip = PipelinedCommands(driver, [BEGIN])
    trip.answers()
    with pytest.raises(psycopg.OperationalError, match="no answer"):
        trip.answers()
    assert driver.closed
