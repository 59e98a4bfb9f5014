"""Migrations and roles on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from vault.dev.postgres import OWNER, SERVICE, Database
from vault.errors import ConfigError, StoreUnavailable
from vault.postgres.engine import make_engine
from vault.postgres.migrate import current_revision, migrate
from vault.postgres.roles import refuse_privileged
from vault.postgres.schema_revision import check_schema, code_revision


def run_as_superuser(database: Database, statement: str) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def service_engine(database: Database) -> Iterator[Engine]:
    """The service's role, whatever rights a test gives it taken away again at the end."""
    engine = make_engine(database.service_url)
    yield engine
    engine.dispose()
    granted = f"{OWNER}, pg_write_all_data, pg_execute_server_program, pg_write_server_files"
    run_as_superuser(database, f"REVOKE {granted} FROM {SERVICE}")
    run_as_superuser(database, f"ALTER ROLE {SERVICE} NOSUPERUSER NOCREATEROLE NOREPLICATION")


def check(database: Database) -> None:
    engine = make_engine(database.service_url)
    try:
        check_schema(engine)
    finally:
        engine.dispose()


def test_many_may_migrate_at_once(empty_database: Database) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(migrate, empty_database.owner_url, SERVICE, said.append) for _ in range(4)
        ]
    for job in jobs:
        job.result()
    assert len([line for line in said if line.startswith("migrating from")]) == 1
    assert said.count(f"schema is at {code_revision()}, granted to {SERVICE}") == 4
    check(empty_database)


def test_a_database_without_a_schema_is_refused(empty_database: Database) -> None:
    engine = make_engine(empty_database.service_url)
    assert current_revision(engine) is None
    engine.dispose()
    with pytest.raises(ConfigError, match=r"no schema.*tokenvault migrate"):
        check(empty_database)


@pytest.mark.parametrize(
    ("serves", "refusal"),
    [
        (["0000"], "too old"),
        (["9999"], "too new"),
        ([], "too old"),
        ([code_revision(), "9999"], None),
    ],
)
def test_a_schema_says_which_code_it_serves(
    database: Database, serves: list[str], refusal: str | None
) -> None:
    run_as_superuser(database, "DELETE FROM schema_serves")
    for revision in serves:
        run_as_superuser(database, f"INSERT INTO schema_serves VALUES ('{revision}')")
    if refusal is None:
        check(database)
    else:
        with pytest.raises(ConfigError, match=refusal):
            check(database)


def test_a_newer_schema_is_left_alone(database: Database) -> None:
    run_as_superuser(database, "UPDATE alembic_version SET version_num = '9999'")
    said: list[str] = []
    migrate(database.owner_url, SERVICE, said.append)
    assert said == [f"schema is at 9999, granted to {SERVICE}"]


@pytest.mark.parametrize("role", [OWNER, "postgres", "nobody_of_that_name"])
def test_an_unfit_service_role_is_refused(empty_database: Database, role: str) -> None:
    with pytest.raises(ConfigError, match=role):
        migrate(empty_database.owner_url, role)
    engine = make_engine(empty_database.owner_url)
    assert current_revision(engine) is None
    engine.dispose()


def test_the_services_role_may_not_migrate(empty_database: Database) -> None:
    with pytest.raises((ConfigError, StoreUnavailable)):
        migrate(empty_database.service_url, SERVICE)


def test_grants_are_put_right_again(database: Database) -> None:
    run_as_superuser(database, f"GRANT DELETE ON audit_records TO {SERVICE}")
    engine = make_engine(database.service_url)
    with pytest.raises(ConfigError, match="DELETE audit_records"):
        refuse_privileged(engine)
    migrate(database.owner_url, SERVICE)
    refuse_privileged(engine)
    engine.dispose()


@pytest.mark.parametrize(
    "grant",
    [
        "GRANT UPDATE (body) ON audit_records TO {}",
        "GRANT TRUNCATE ON audit_heads TO {}",
        "GRANT UPDATE ON audit_log TO {}",
        "GRANT DELETE ON audit_roots TO {}",
        "GRANT TRIGGER ON audit_writers TO {}",
        f"GRANT {OWNER} TO {{}}",
        f"GRANT {OWNER} TO {{}} WITH INHERIT FALSE",
        "GRANT pg_write_all_data TO {} WITH INHERIT FALSE",
        "ALTER TABLE tokens OWNER TO {}",
        "ALTER SCHEMA public OWNER TO {}",
        "GRANT pg_execute_server_program TO {}",
        "GRANT pg_write_server_files TO {}",
        "ALTER ROLE {} REPLICATION",
        "ALTER ROLE {} CREATEROLE",
        "ALTER ROLE {} SUPERUSER",
    ],
)
def test_too_many_rights_are_refused(
    database: Database, service_engine: Engine, grant: str
) -> None:
    refuse_privileged(service_engine)
    run_as_superuser(database, grant.format(SERVICE))
    with pytest.raises(ConfigError, match="too many rights"):
        refuse_privileged(service_engine)


def test_the_owner_is_refused(database: Database) -> None:
    engine = make_engine(database.owner_url)
    with pytest.raises(ConfigError, match="too many rights"):
        refuse_privileged(engine)
    engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tokens SET token = token || '0'",
        "UPDATE tokens SET key_version = 9",
        "UPDATE data_keys SET wrapped = 'x'",
        "DELETE FROM tokens",
        "DELETE FROM data_keys",
        "UPDATE audit_writers SET server = 'x'",
    ],
)
def test_the_service_may_change_no_more_than_it_must(database: Database, statement: str) -> None:
    engine = make_engine(database.service_url)
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="denied"):
        connection.exec_driver_sql(statement)
    engine.dispose()
