"""The database of the settings, as the service's role and as the owner of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["owner_engine", "service_engine"]


@contextmanager
def service_engine(config: Path) -> Iterator[Engine]:
    """Connects as ``serve`` does. Raises ConfigError."""
    from vault.config import load_settings, read_secret
    from vault.postgres.address_options import warn_of_weakness
    from vault.postgres.engine import make_engine
    from vault.telemetry.logging import configure_logging

    configure_logging("warning")
    database = load_settings(config).database
    password = None
    if database.password_file is not None:
        password = read_secret(database.password_file, "database.password_file")
    engine = make_engine(database.url, password=password, pool_size=1)
    warn_of_weakness(engine.url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def owner_engine(config: Path, owner: str, password_file: Path | None) -> Iterator[Engine]:
    """Connects as the role that owns the tables. Raises ConfigError."""
    from vault.config import load_settings, read_secret
    from vault.postgres.address import psycopg_url
    from vault.postgres.engine import make_engine

    password = read_secret(password_file, "--password-file") if password_file else None
    url = psycopg_url(load_settings(config).database.url).set(username=owner)
    engine = make_engine(url, password=password, pool_size=1, application="tokenvault prune")
    try:
        yield engine
    finally:
        engine.dispose()
