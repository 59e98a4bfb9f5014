"""Postgres restarted under load, failing over, without connections and out of disk.

Every scenario ends with the same question: is what callers were told still true, has each
answered call its audit record, and is nothing half there?
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.e2e.load import Load, check_whole, findings
from tests.e2e.standby import Standby, eventually, frozen, kill, query
from vault.dev.openbao import DevOpenBao
from vault.dev.ports import LOOPBACK
from vault.dev.postgres import DATABASE, SERVICE, Database, EmbeddedPostgres
from vault.postgres.migrate import migrate

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeServer, Server

STORE = ("STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE")
QUICK = {"fsync": "off", "full_page_writes": "off"}
# Well within the 60 s that a call may take at most.
FAST = 20.0


def database_of(postgres: EmbeddedPostgres) -> Database:
    database = postgres.create_database(DATABASE)
    migrate(database.owner_url, SERVICE)
    return database


def troubles(server: Server) -> str:
    return "\n".join(str(line) for line in server.lines() if line["event"] == "not ready")


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, key_server: DevOpenBao, make_server: MakeServer
) -> Iterator[tuple[Server, EmbeddedPostgres]]:
    """One server on one small Postgres."""
    directory = tmp_path_factory.mktemp("alone")
    settings = {**QUICK, "max_connections": "20", "superuser_reserved_connections": "3"}
    with EmbeddedPostgres(directory / "postgres", settings=settings) as postgres:
        server = make_server(directory, key_server, postgres, database_of(postgres), {})
        yield server, postgres
        server.stop()


def test_restarted_under_load(alone: tuple[Server, EmbeddedPostgres]) -> None:
    server, postgres = alone
    with Load(server, prefix=4001) as load:
        load.await_answers()
        postgres.stop()
        load.await_failures("STORE_UNAVAILABLE")
        server.await_health("readiness", serving=False)
        postgres.start()
        load.await_answers()
    server.await_health("readiness", serving=True)
    assert set(load.failures) <= set(STORE)
    assert load.slowest_failure < FAST
    check_whole(server, postgres.superuser_conninfo(DATABASE), load.tokens)
    assert findings(server) == []


def test_connections_used_up(alone: tuple[Server, EmbeddedPostgres]) -> None:
    server, postgres = alone
    ours = postgres.url(SERVICE)
    with Load(server, prefix=4002) as load, ExitStack() as others:
        load.await_answers()

        def take_all() -> None:
            with suppress(psycopg.OperationalError):
                while True:
                    others.enter_context(
                        psycopg.connect(
                            host=LOOPBACK, port=postgres.port, user=SERVICE, dbname=DATABASE,
                            passfile=str(ours.query["passfile"]), application_name="greedy",
                        )
                    )  # fmt: skip

        def greedy() -> bool:
            """Ends the service's sessions, and takes their places before it can."""
            query(
                postgres,
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name IN ('tokenvault', 'tokenvault keys')",
            )
            take_all()
            held = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'greedy'"
            return query(postgres, held) == 17

        eventually(greedy)
        load.await_failures("STORE_UNAVAILABLE")
        server.await_health("readiness", serving=False)
        eventually(lambda: "no free connection" in troubles(server))
        others.close()
        load.await_answers()
    server.await_health("readiness", serving=True)
    assert set(load.failures) <= set(STORE)
    assert load.slowest_failure < FAST
    check_whole(server, postgres.superuser_conninfo(DATABASE), load.tokens)
    assert findings(server) == []


def test_a_database_that_hangs(alone: tuple[Server, EmbeddedPostgres]) -> None:
    """It answers nothing and closes nothing: no timeout of Postgres's own is kept."""
    server, postgres = alone
    with Load(server, prefix=4009) as load:
        load.await_answers()
        with frozen(postgres):
            load.await_failures("STORE_UNAVAILABLE")
            server.await_health("readiness", serving=False)
        load.await_answers()
    server.await_health("readiness", serving=True)
    assert set(load.failures) <= set(STORE)
    assert load.slowest_failure < FAST
    check_whole(server, postgres.superuser_conninfo(DATABASE), load.tokens)
    assert findings(server) == []


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, key_server: DevOpenBao, make_server: MakeServer
) -> Iterator[tuple[Server, Standby, Standby]]:
    """One server with two addresses; the second follows the first, synchronously."""
    directory = tmp_path_factory.mktemp("pair")
    first = Standby(directory / "first", settings=QUICK)
    second = Standby(directory / "second", settings=QUICK)
    with EmbeddedPostgres(directory / "first", settings=QUICK) as made:
        database = database_of(made)
        if made._identity.user is not None:
            pytest.skip("Postgres runs as another user, who may not read this one's files")
    first.start()
    second.follow(first)
    hosts = f"{LOOPBACK}:{first.port},{LOOPBACK}:{second.port}"
    changes = {"database": {"url": f"postgresql://{SERVICE}@{hosts}/{database.name}"}}
    server = make_server(directory, key_server, first, database, changes)
    yield server, first, second
    server.stop()
    first.stop()
    second.stop()


def test_failing_over_loses_nothing_with_a_synchronous_standby(
    pair: tuple[Server, Standby, Standby],
) -> None:
    server, first, second = pair
    first.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
    first.query("SELECT pg_reload_conf()")
    eventually(lambda: first.query("SELECT sync_state FROM pg_stat_replication") == "sync")
    with Load(server, prefix=4003) as load:
        load.await_answers()
        kill(first)
        load.await_failures("STORE_UNAVAILABLE")
        server.await_health("readiness", serving=False)
        eventually(lambda: "read-only" in troubles(server))  # only the standby is left
        second.promote()
        load.await_answers()
    server.await_health("readiness", serving=True)
    assert set(load.failures) <= set(STORE)
    assert load.slowest_failure < FAST
    check_whole(server, second.superuser_conninfo(DATABASE), load.tokens)
    assert findings(server) == []


def test_failing_back_to_a_standby_that_lagged_is_found_by_the_audit(
    pair: tuple[Server, Standby, Standby],
) -> None:
    """The other way round, asynchronously: the last commits are lost, and that shows."""
    server, first, second = pair
    first.follow(second)
    with Load(server, prefix=4004) as kept:
        kept.await_answers()
    behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn < sent_lsn"
    eventually(lambda: second.query(behind) == 0)
    first.stop()  # the standby hears nothing of what follows
    with Load(server, prefix=4005) as lost:
        lost.await_answers()
    kill(second)
    first.start()
    first.promote()
    server.await_health("readiness", serving=True)
    with Load(server, prefix=4006) as after:
        after.await_answers()
    # One call fails for each chain whose end was lost; then a new writer goes on.
    assert set(after.failures) <= set(STORE)
    superuser = first.superuser_conninfo(DATABASE)
    with psycopg.connect(superuser) as connection:
        stored = dict.fromkeys(token for (token,) in connection.execute("SELECT token FROM tokens"))
    assert set(kept.tokens.values()) | set(after.tokens.values()) <= set(stored)
    assert not set(lost.tokens.values()) & set(stored)
    with server.client("fraud-analyst") as reader:
        values = kept.tokens | after.tokens
        answer = reader.detokenize("card_number", list(values.values()))
        assert answer.values == list(values)
    told = "\n".join(findings(server))
    assert "the audit's chain was changed" in server.log.read_text()
    assert "TRUNCATED" in told


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own, which fills up without harm to others."""
    directory = tmp_path_factory.mktemp("small-disk")
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system that may fill up")
    mount = ["mount", "-t", "tmpfs", "-o", "size=200m,mode=0700", "tmpfs", str(directory)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Takes all the space that is left."""
    filler = directory / "filler"
    block = bytes(4096)
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while file.write(block):
            pass
    return filler


def test_out_of_disk(
    small_disk: Path,
    tmp_path_factory: pytest.TempPathFactory,
    key_server: DevOpenBao,
    make_server: MakeServer,
) -> None:
    settings = {**QUICK, "min_wal_size": "32MB", "max_wal_size": "64MB"}
    directory = tmp_path_factory.mktemp("full")
    with EmbeddedPostgres(small_disk / "postgres", settings=settings) as postgres:
        if postgres._identity.user is not None:
            pytest.skip("Postgres runs as another user, whose data is elsewhere")
        server = make_server(directory, key_server, postgres, database_of(postgres), {})
        with Load(server, prefix=4007) as load:
            load.await_answers()
            filler = fill(small_disk)
            load.await_failures(*STORE)
            assert server.health("liveness") == "SERVING"
            filler.unlink()
            load.await_answers()
        check_whole(server, postgres.superuser_conninfo(DATABASE), load.tokens)
        # No room for the log of changes either: Postgres stops itself, and somebody has to
        # start it again once there is room.
        with Load(server, prefix=4008) as worse:
            worse.await_answers()
            filler = fill(small_disk)
            with suppress(psycopg.Error):
                for _ in range(20):
                    query(
                        postgres, "SELECT pg_switch_wal(), pg_logical_emit_message(false,'a','b')"
                    )
            worse.await_failures(*STORE)
            server.await_health("readiness", serving=False)
            eventually(lambda: postgres.exit_code() is not None)
            filler.unlink()
            postgres.stop()
            postgres.start()
            worse.await_answers()
        server.await_health("readiness", serving=True)
        assert '"sqlstate": "53100"' in server.log.read_text()
        assert set(load.failures | worse.failures) <= set(STORE)
        assert max(load.slowest_failure, worse.slowest_failure) < FAST
        check_whole(server, postgres.superuser_conninfo(DATABASE), load.tokens | worse.tokens)
        assert findings(server) == []
        server.stop()
