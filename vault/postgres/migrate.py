"""Bringing the database's schema up to date, as its owner; many may start at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text

from vault.postgres.address import psycopg_url
from vault.postgres.address_options import warn_of_weakness
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.deadlines import use_deadline_connections
from vault.postgres.failures import translated
from vault.postgres.roles import check_service_role, grant
from vault.postgres.schema_revision import (
    code_revision,
    migrations_directory,
    refuse_other_encoding,
)

__all__ = ["current_revision", "migrate"]

_WAIT_FOR_LOCK = "120s"
_WAIT_FOR_TABLE = "10s"


def migrate(
    owner_url: URL | str,
    service_role: str,
    progress: Callable[[str], None] | None = None,
    *,
    password: str | None = None,
) -> None:
    """Applies what is missing and grants the service's role what it needs, no more.

    Replicas and jobs may call it at the same time: an advisory lock lets one through,
    the others then find nothing to do.

    Args:
        owner_url: the role that owns, or will own, the tables.
        service_role: the role that ``serve`` runs as; it must exist.
        progress: called with what is being done, one line each.

    Raises:
        ConfigError: the service's role is missing, is the owner, or is a superuser; or the
            database does not store text as UTF-8.
        StoreUnavailable: the database is unavailable, or a lock was not to be had.
    """
    url = psycopg_url(owner_url, password)
    warn_of_weakness(url)
    engine = create_engine(
        url,
        hide_parameters=True,
        poolclass=NullPool,
        connect_args={"connect_timeout": 5, "application_name": "tokenvault migrate"},
    )
    use_deadline_connections(engine)
    _migrate(engine, service_role, progress or _silent)


@translated()
def _migrate(engine: Engine, service_role: str, report: Callable[[str], None]) -> None:
    with engine.connect() as connection, _exclusive(connection):
        refuse_other_encoding(connection)
        check_service_role(connection, service_role)
        before = _revision(connection)
        connection.commit()
        config = _config(connection)
        if before != code_revision() and not _is_newer(config, before):
            report(f"migrating from {before or 'an empty database'} to {code_revision()}")
            command.upgrade(config, "head")
        grant(connection, service_role)
        connection.commit()
        report(f"schema is at {_revision(connection)}, granted to {service_role}")


@translated()
def current_revision(engine: Engine) -> str | None:
    """Returns the database's revision, None where there is no schema. Raises StoreUnavailable."""
    with engine.connect() as connection:
        return _revision(connection)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_newer(config: Config, revision: str | None) -> bool:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return revision is not None and revision not in known


@contextmanager
def _exclusive(connection: Connection) -> Iterator[None]:
    """Waits for the migration lock; it is the session's, so it spans transactions."""
    _set(connection, "lock_timeout", _WAIT_FOR_LOCK)
    connection.execute(
        text("SELECT pg_advisory_lock(:lock)"), {"lock": int(AdvisoryLock.MIGRATION)}
    )
    _set(connection, "lock_timeout", _WAIT_FOR_TABLE)
    connection.commit()
    yield
    # The session ends with the connection (NullPool), and the lock with it.


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(
        text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value}
    )


def _silent(_: str) -> None:
    """Reports nothing."""
