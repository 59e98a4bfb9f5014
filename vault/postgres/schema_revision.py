"""Which schema this code was written for, and whether a database serves it.

Without Alembic, which a server would load for this alone: a tenth of its memory and start.
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Connection, Engine, text

import vault
from vault.errors import ConfigError
from vault.postgres.failures import translated

__all__ = ["check_schema", "code_revision", "migrations_directory", "refuse_other_encoding"]

_MIGRATION = re.compile(r"(\d{4})_\w+\.py")


def code_revision() -> str:
    """Returns the revision this code was written for: the highest that a migration is named after.

    Raises ConfigError where there are no migrations.
    """
    versions = migrations_directory() / "versions"
    found = (_MIGRATION.fullmatch(path.name) for path in versions.glob("*.py"))
    head = max((match[1] for match in found if match), default=None)
    if head is None:
        raise ConfigError("the installation has no migrations: install Tokenvault again")
    return head


@translated()
def check_schema(engine: Engine) -> None:
    """Refuses a database whose schema this code cannot serve.

    A newer schema names the older code it still serves, so that a release and the one
    before it run side by side.

    Raises:
        ConfigError: there is no schema, it is too old, or too new; or the database does not
            store text as UTF-8.
        StoreUnavailable: the database is unavailable.
    """
    wanted = code_revision()
    with engine.connect() as connection:
        refuse_other_encoding(connection)
        if not connection.scalar(text("SELECT to_regclass('schema_serves') IS NOT NULL")):
            raise ConfigError("the database has no schema: run `tokenvault migrate`")
        serves = set(connection.scalars(text("SELECT revision FROM schema_serves")))
    if wanted in serves:
        return
    if max(serves, default="") < wanted:
        raise ConfigError("the database's schema is too old: run `tokenvault migrate`")
    raise ConfigError("the database's schema is too new for this release: upgrade Tokenvault")


def refuse_other_encoding(connection: Connection) -> None:
    """Raises ConfigError where the database does not store text as UTF-8.

    It would refuse the tokens of many alphabets, or store bytes without looking at them.
    """
    encoding = connection.scalar(text("SELECT pg_catalog.current_setting('server_encoding')"))
    if encoding != "UTF8":
        raise ConfigError(
            f"the database's encoding is {encoding}, and must be UTF8: make another (CREATE"
            " DATABASE ... TEMPLATE template0 ENCODING 'UTF8'), and restore a dump (pg_dump) of"
            " this one into it if it holds tokens"
        )


def migrations_directory() -> Path:
    """Returns the migrations: inside an installed wheel, beside the package in the sources."""
    package = Path(vault.__file__).parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"
