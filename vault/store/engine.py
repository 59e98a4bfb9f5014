"""The connection pool of one process."""

from __future__ import annotations

from sqlalchemy import URL, Engine, create_engine, make_url

from vault.errors import ConfigError

__all__ = ["make_engine", "psycopg_url"]

_CONNECT_ARGS: dict[str, int | str] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def make_engine(
    url: URL | str,
    *,
    password: str | None = None,
    pool_size: int = 8,
    pool_timeout: float = 5.0,
    application: str = "tokenvault",
) -> Engine:
    """Makes a pool of at most ``pool_size`` connections, opened as they are needed.

    Give it as many connections as there are threads that work at once; the key ring
    needs an engine of its own, because it reserves key uses while a call's transaction
    is open. Messages of its errors never quote parameters (``hide_parameters``), but
    Postgres's own texts may: they go through ``vault.store.failures``.

    Args:
        url: ``postgresql://user@host:port/database``, best without a password.
        password: the password, read from a file by the caller.
        pool_timeout: seconds to wait for a free connection.

    Raises:
        ConfigError: the URL is not one of Postgres.
    """
    return create_engine(
        psycopg_url(url, password),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        pool_recycle=1800,
        connect_args={**_CONNECT_ARGS, "application_name": application},
    )


def psycopg_url(url: URL | str, password: str | None = None) -> URL:
    """Returns the URL with our driver and the password. Raises ConfigError."""
    try:
        parsed = make_url(url)
    except Exception:  # noqa: BLE001 - the text of any parser's error may quote a password
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        raise ConfigError("database url: write postgresql://user@host:port/database")
    parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed if password is None else parsed.set(password=password)
