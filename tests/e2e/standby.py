"""A streaming standby of an embedded Postgres, made by pg_basebackup."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from vault.dev.postgres import DATABASE, Database, EmbeddedPostgres


class Standby(EmbeddedPostgres):
    """Follows another server until it is promoted; has that server's roles and passwords."""

    def follow(self, primary: EmbeddedPostgres) -> None:
        """Copies the primary's data, in place of what is here, and streams on from there."""
        data = self._cluster.data
        shutil.rmtree(data, ignore_errors=True)
        for path in primary._directory.glob("*.p*ass*"):
            if path.parent != self._directory:
                shutil.copy2(path, self._directory / path.name)
        identity = self._identity
        binary = str(self._binaries / "pg_basebackup")
        subprocess.run(
            [*identity.prefix, binary, "-D", str(data), "-d", primary.superuser_conninfo(),
             "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"],
            check=True, cwd="/", user=identity.user, group=identity.group,
        )  # fmt: skip
        self.start()

    def _ensure_roles(self) -> None:
        """They come with the data; a standby could not make them."""

    def create_database(self, name: str, *, template: str | None = None) -> Database:
        return Database(
            name, self.url("tokenvault_owner", name), self.url("tokenvault", name),
            self.superuser_conninfo(name),
        )  # fmt: skip

    def promote(self) -> None:
        self.query("SELECT pg_promote()")

    def query(self, statement: str) -> object:
        return query(self, statement)


def query(server: EmbeddedPostgres, statement: str, database: str = DATABASE) -> object:
    """Runs a statement as superuser; returns its first value, if any."""
    with psycopg.connect(server.superuser_conninfo(database), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def postmaster(server: EmbeddedPostgres) -> int:
    pid = int((server._cluster.data / "postmaster.pid").read_text().split("\n", 1)[0])
    assert b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return pid


def kill(server: EmbeddedPostgres) -> None:
    """Ends the whole server at once, as a power cut would."""
    os.kill(postmaster(server), signal.SIGKILL)
    server.stop()


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Stops every process of a server in its tracks for the length of the block."""
    main = postmaster(server)
    os.kill(main, signal.SIGSTOP)  # first, so that it starts no others
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    pids = [main, *(int(pid) for pid in children)]
    try:
        _send(pids, signal.SIGSTOP)
        yield
    finally:
        _send(pids, signal.SIGCONT)


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
