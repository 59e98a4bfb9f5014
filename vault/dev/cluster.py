"""The data directory of an embedded Postgres: made once, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from vault.dev.private_files import private_directory, write_private
from vault.dev.unprivileged import ProcessIdentity, chown_to
from vault.errors import SetupError

__all__ = ["OTHER_USERS_HOME", "Cluster"]

# Where another user's data and programs go: it cannot pass through a 0700 directory of root's.
OTHER_USERS_HOME = Path("/var/lib/tokenvault-dev")
_STALE_TIMEOUT = 15.0


class Cluster:
    """A data directory under ``directory`` that belongs to the identity of its server."""

    def __init__(self, directory: Path, binaries: Path, identity: ProcessIdentity) -> None:
        self._binaries = binaries
        self._identity = identity
        self._home = directory if identity.user is None else _other_users_home(directory, identity)
        self.data = self._home / "data"

    def ensure(self, password: str) -> None:
        """Makes the cluster unless it is there, with the superuser's password.

        Raises SetupError where ``initdb`` fails or the data is of another major version.
        """
        if self.data.exists():
            self._check_version()
            return
        fresh = self._home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        pwfile = write_private(self._home / "initdb.password", password + "\n")
        chown_to(pwfile, self._identity)
        try:
            self._initdb(fresh, pwfile)
        finally:
            pwfile.unlink()
        fresh.rename(self.data)

    def _initdb(self, data: Path, pwfile: Path) -> None:
        command = [str(self._binaries / "initdb"), "-D", str(data), "--username=postgres"]
        command += ["--auth=scram-sha-256", f"--pwfile={pwfile}", "--encoding=UTF8", "--no-locale"]
        result = subprocess.run(  # noqa: S603 - a binary we chose
            [*self._identity.prefix, *command, "--no-instructions"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            user=self._identity.user,
            group=self._identity.group,
            extra_groups=None if self._identity.user is None else [],
        )
        if result.returncode != 0:
            raise SetupError(f"initdb failed: {result.stderr.strip()[-500:]}")

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text("ascii").strip()
        shown = subprocess.run(  # noqa: S603 - a binary we chose
            [str(self._binaries / "postgres"), "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
        running = shown.stdout.split()[2].split(".")[0]
        if made_by != running:
            raise SetupError(
                f"the data in {self.data} is of Postgres {made_by}, the server found is {running}: "
                "dump and restore it, or start in an empty directory"
            )

    def clear_stale_lock(self) -> None:
        """Removes ``postmaster.pid`` where its process is gone or is not Postgres.

        A killed server's process number may have gone to another program since, and then
        Postgres would refuse to start. Raises SetupError while a server really runs here.
        """
        lock = self.data / "postmaster.pid"
        deadline = time.monotonic() + _STALE_TIMEOUT
        while lock.exists() and _is_server(_first_number(lock), self.data):
            if time.monotonic() > deadline:
                raise SetupError(f"another Postgres is running on {self.data}")
            time.sleep(0.1)
        lock.unlink(missing_ok=True)


def _first_number(lock: Path) -> int:
    try:
        return int(lock.read_text("ascii").split("\n", 1)[0])
    except (ValueError, OSError):
        return 0


def _is_server(pid: int, data: Path) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    process = Path("/proc") / str(pid)
    if not process.exists():
        return True  # no /proc here: believe the lock
    try:
        command = (process / "cmdline").read_bytes()
    except OSError:
        return False
    return b"postgres" in command and str(data).encode() in command


def _other_users_home(directory: Path, identity: ProcessIdentity) -> Path:
    OTHER_USERS_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
    name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    home = private_directory(OTHER_USERS_HOME / name)
    chown_to(home, identity)
    return home
