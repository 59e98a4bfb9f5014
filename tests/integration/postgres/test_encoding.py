"""Text reaches Postgres as UTF-8, whatever a setting says, or it does not reach it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from vault.dev.postgres import OWNER, SERVICE, Database, EmbeddedPostgres
from vault.errors import ConfigError
from vault.postgres.arrays import TextArray
from vault.postgres.deadlines import driver_of
from vault.postgres.engine import make_engine
from vault.postgres.migrate import current_revision, migrate
from vault.postgres.schema_revision import check_schema

Owner = psycopg.Connection[tuple[object, ...]]
TOKENS = ["äöü", "αβγ", "\U0001f600"]


def echoed(database: Database, **query: str) -> list[object]:
    """What a server's connection makes of tokens, and how it is encoded."""
    engine = make_engine(database.service_url.update_query_dict(query))
    try:
        with engine.connect() as connection:
            driver = driver_of(connection)
            sent = {"items": TextArray(TOKENS), "own": TOKENS}
            rows = driver.execute("SELECT %(items)b::text[], %(own)b::text[]", sent).fetchall()
            return [*rows[0], driver.info.encoding]
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PGCLIENTENCODING", "LATIN1"), ("PGOPTIONS", "-c client_encoding=LATIN1")],
)
def test_the_environment_does_not_change_it(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert echoed(database) == [TOKENS, TOKENS, "utf-8"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("client_encoding", "LATIN1"), ("options", "-c client_encoding=LATIN1")],
)
def test_the_address_does_not_change_it(database: Database, name: str, value: str) -> None:
    assert echoed(database, **{name: value}) == [TOKENS, TOKENS, "utf-8"]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER DATABASE {database} SET client_encoding = 'LATIN1'",
        "ALTER ROLE {role} IN DATABASE {database} SET client_encoding = 'WIN1252'",
    ],
)
def test_a_setting_of_the_server_does_not_change_it(
    database: Database, owner: Owner, statement: str
) -> None:
    owner.execute(statement.format(role=SERVICE, database=database.name).encode())
    assert echoed(database) == [TOKENS, TOKENS, "utf-8"]


def test_an_array_of_text_is_not_sent_in_another_encoding(owner: Owner) -> None:
    owner.execute("CREATE TABLE stored (token text)")
    owner.execute("SET client_encoding = 'LATIN1'")
    statement = "INSERT INTO stored SELECT unnest(%(items)b::text[])"
    with pytest.raises(ValueError, match="not UTF-8"):
        owner.execute(statement, {"items": TextArray(TOKENS)})
    assert owner.execute("SELECT count(*) FROM stored").fetchone() == (0,)
    owner.execute("SET client_encoding = 'UTF8'")
    owner.execute(statement, {"items": TextArray(TOKENS)})
    assert owner.execute("SELECT token FROM stored").fetchall() == [(token,) for token in TOKENS]


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def foreign_database(
    request: pytest.FixtureRequest, postgres_server: EmbeddedPostgres
) -> Iterator[Database]:
    name = f"foreign_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.superuser_conninfo(), autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0"
            f" ENCODING '{request.param}' LOCALE 'C'".encode()
        )
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


def test_a_database_of_another_encoding_is_refused(foreign_database: Database) -> None:
    with pytest.raises(ConfigError, match=r"CREATE DATABASE .* ENCODING 'UTF8'"):
        migrate(foreign_database.owner_url, SERVICE)
    engine = make_engine(foreign_database.owner_url)
    try:
        assert current_revision(engine) is None
        with pytest.raises(ConfigError, match=r"CREATE DATABASE .* ENCODING 'UTF8'"):
            check_schema(engine)
    finally:
        engine.dispose()
