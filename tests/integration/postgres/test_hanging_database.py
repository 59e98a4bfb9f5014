"""A Postgres that hangs or was demoted, behind the pool of a running process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from vault.dev.postgres import Database
from vault.errors import StoreUnavailable
from vault.postgres import begin as beginning
from vault.postgres.engine import make_engine
from vault.postgres.transaction import execute, transaction
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import Transaction

Owner = psycopg.Connection[tuple[object, ...]]


def number(engine: Engine, seconds: float) -> int:
    """Runs a statement as a call with a deadline does; returns its backend's process."""
    with transaction(engine, time.monotonic() + seconds) as opened:
        ((pid,),) = execute(opened.connection, "SELECT pg_backend_pid()", {})
    assert isinstance(pid, int)
    return pid


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def pid(engine: Engine) -> int:
    pid = number(engine, 10)
    command = Path(f"/proc/{pid}/cmdline")
    if not command.exists() or b"postgres" not in command.read_bytes():
        pytest.skip("Postgres runs where its processes cannot be seen")
    return pid


def test_a_server_that_hangs_holds_nobody_beyond_the_deadline(engine: Engine, pid: int) -> None:
    began = time.monotonic()
    with frozen(pid), pytest.raises(StoreUnavailable):
        number(engine, 0.5)
    assert 0.5 < time.monotonic() - began < 3
    # Its late answer must not reach the next call: that one has a connection of its own.
    assert number(engine, 10) != pid


def test_nor_beyond_our_patience(engine: Engine, pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "_SHORT_SILENCE", 0.5)
    began = time.monotonic()
    with frozen(pid), pytest.raises(StoreUnavailable):
        number(engine, 60)
    assert time.monotonic() - began < 3


def test_work_begins_before_the_server_has_answered(
    engine: Engine, work: PostgresUnitOfWork, pid: int
) -> None:
    done: list[str] = []

    def without_the_database(_: Transaction) -> None:
        done.append("work")

    with frozen(pid), pytest.raises(StoreUnavailable):
        work.run(without_the_database, deadline=time.monotonic() + 0.3)
    assert done == ["work"]
    # What was under way on that connection went with it.
    assert number(engine, 10) != pid


def test_a_statement_timeout_still_comes_from_the_server(engine: Engine) -> None:
    with (
        pytest.raises(StoreUnavailable, match="deadline"),
        transaction(engine, time.monotonic() + 0.3) as opened,
    ):
        execute(opened.connection, "SELECT pg_sleep(5)", {})


def test_work_without_a_deadline_after_one_with_it(engine: Engine) -> None:
    number(engine, 0.2)
    time.sleep(1.5)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT pg_sleep(0.1), 1").one()[1] == 1


def test_a_demoted_server_is_left_at_once(database: Database, owner: Owner) -> None:
    engine = make_engine(database.service_url)
    with engine.connect(), engine.connect():
        pass  # two pooled connections
    name = psycopg.sql.Identifier(database.name)
    read_only = psycopg.sql.SQL("ALTER ROLE tokenvault IN DATABASE {} SET {}")
    setting = psycopg.sql.SQL("default_transaction_read_only = on")
    owner.execute(read_only.format(name, setting))
    # New sessions are read-only, so the next transaction meets what a standby would be.
    engine.dispose()
    try:
        with pytest.raises(StoreUnavailable, match="read-only"):
            number(engine, 5)
        left = owner.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tokenvault' AND datname = %s",
            [database.name],
        ).fetchone()
        assert left == (0,)
    finally:
        owner.execute(
            psycopg.sql.SQL("ALTER ROLE tokenvault IN DATABASE {} RESET ALL").format(name)
        )
    number(engine, 5)
    engine.dispose()
