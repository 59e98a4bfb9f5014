"""Which database counts the uses of keys: what changes its identity, and what does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest

from vault.dev.postgres import SERVICE, Database, EmbeddedPostgres, find_binaries
from vault.errors import StoreUnavailable
from vault.postgres.engine import make_engine
from vault.postgres.migrate import migrate
from vault.service.ports import DataKeyRecord
from vault.store.data_keys import PostgresDataKeyStore


def identity(database: Database) -> str:
    engine = make_engine(database.service_url)
    try:
        return PostgresDataKeyStore(engine).database_identity().current
    finally:
        engine.dispose()


def pg(program: str, *arguments: str) -> None:
    subprocess.run([find_binaries() / program, *arguments], check=True, capture_output=True)


def test_a_restart_keeps_it_and_a_recovery_begins_a_new_timeline(tmp_path: Path) -> None:
    quick = {"fsync": "off", "restore_command": "false", "hot_standby": "off"}
    server = EmbeddedPostgres(tmp_path / "postgres", settings=quick)
    with server:
        database = server.create_database("counted")
        migrate(database.owner_url, SERVICE)
        before = identity(database)
    with server:
        assert identity(database) == before
    # What a recovery to a point in time and the promotion of a standby have in common.
    (server._cluster.data / "recovery.signal").touch()
    with server:
        after = identity(database)
    cluster, timeline, *relations = before.split(":")
    assert (timeline, after) == ("00000001", ":".join([cluster, "00000002", *relations]))


@pytest.mark.parametrize("where", ["another database", "the same database"])
def test_a_restored_dump_is_another_database(
    postgres_server: EmbeddedPostgres, database: Database, tmp_path: Path, where: str
) -> None:
    before, dump = identity(database), str(tmp_path / "dump")
    pg("pg_dump", "--format=custom", f"--file={dump}", database.superuser_conninfo)
    if where == "the same database":
        pg("pg_restore", "--clean", f"--dbname={database.superuser_conninfo}", dump)
        assert identity(database) != before
        return
    other = postgres_server.create_database(f"{database.name}_restored")
    pg("pg_restore", f"--dbname={other.superuser_conninfo}", dump)
    try:
        assert identity(other) != before
    finally:
        postgres_server.drop_database(other.name)


def test_the_services_role_may_add_epochs_and_change_none(database: Database) -> None:
    engine = make_engine(database.service_url)
    store = PostgresDataKeyStore(engine)
    here = store.database_identity().current
    assert store.begin_epoch(here, [])
    assert store.begin_epoch("", [])
    assert store.begin_epoch(here, [])
    engine.dispose()
    with psycopg.connect(database.superuser_conninfo) as connection:
        rows = connection.execute("SELECT epoch, reason FROM key_epochs ORDER BY epoch").fetchall()
        assert rows == [(1, "first"), (2, "told"), (3, "moved")]
        connection.execute(f"SET ROLE {SERVICE}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM key_epochs")


def test_an_epoch_whose_keys_are_refused_is_not_begun(database: Database) -> None:
    engine = make_engine(database.service_url)
    store = PostgresDataKeyStore(engine)
    broken = DataKeyRecord("default", "card", "field", 0, "vault:v1:x", active=True, uses=0)
    with pytest.raises(StoreUnavailable):
        store.begin_epoch(store.database_identity().current, [broken])
    assert store.database_identity().recorded is None
    assert store.all() == []
    engine.dispose()
