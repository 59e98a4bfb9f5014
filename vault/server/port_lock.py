"""One ``serve`` per port: a lock file, in addition to the proof that the port is free.

The proof alone has a gap: workers that share a port come and go, and between two of them
the port looks free.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vault.errors import ConfigError

__all__ = ["port_lock"]


@contextmanager
def port_lock(key: str, port: int, directory: Path | None = None) -> Iterator[None]:
    """Holds the port's lock for the block; the kernel ends it with the process.

    The file stays: removing it would let two processes lock two files of one name.

    Args:
        key: the setting that names the port, for the error.
        directory: where the file is; the system's directory for temporary files if None.

    Raises:
        ConfigError: another server of this user holds it, or the file is not ours.
    """
    path = (directory or Path(tempfile.gettempdir())) / f"tokenvault-{os.geteuid()}-{port}.lock"
    try:
        # Others may write to the directory: no link of theirs is followed.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise ConfigError(f"{key}: cannot open the lock file {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "r+") as file:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise ConfigError(f"{key}: the lock file {path} is another user's; remove it")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = file.read(20).strip()
            raise ConfigError(
                f"{key}: another server has port {port}, as process {holder}; "
                "stop it or choose another port"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
