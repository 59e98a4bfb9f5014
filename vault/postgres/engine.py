"""The connection pool of one process."""

from __future__ import annotations

from threading import BoundedSemaphore

from sqlalchemy import URL, Engine, create_engine

from vault.postgres.address import psycopg_url
from vault.postgres.connection_turns import ConnectionTurns, set_turns
from vault.postgres.deadlines import use_deadline_connections
from vault.postgres.times import read_all_times

__all__ = ["make_engine"]

# Of each host in turn; how long a name's look-up takes is the resolver's setting.
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
    Postgres's own texts may: they go through ``vault.postgres.failures``.

    Args:
        url: ``postgresql://user@host:port/database``, best without a password; of several
            hosts (``host:port,host:port``) the one that takes writes is used.
        password: the password, read from a file by the caller.
        pool_timeout: seconds to wait for a free connection.

    Raises:
        ConfigError: the URL is not one of Postgres.
    """
    engine = create_engine(
        psycopg_url(url, password),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        pool_recycle=1800,
        connect_args={**_CONNECT_ARGS, "application_name": application},
    )
    use_deadline_connections(engine)
    read_all_times(engine)
    set_turns(engine, ConnectionTurns(BoundedSemaphore(pool_size), pool_timeout))
    return engine
