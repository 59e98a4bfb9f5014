"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_output"]


@contextmanager
def atomic_output(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that takes its name only when the block ends well.

    It is written next to its target with mode 0600 and renamed at the end; an exception,
    KeyboardInterrupt included, removes it and leaves what was there before.

    Raises:
        OSError: the directory is not writable, or ``path`` is there and no regular file, or
            leads through /dev or /proc.
    """
    _refuse_open_files(path)
    path = path.resolve()
    if path.exists() and not path.is_file():
        # Renaming over a device or a pipe would take it away from everybody else.
        raise OSError(
            f"{path} is not a regular file: write to standard output and send that there, "
            f"-o - > {path}"
        )
    if not path.parent.is_dir():
        raise OSError(f"{path.parent} is no directory")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refuse_open_files(path: Path) -> None:
    """Raises OSError for names such as /dev/stdout.

    They lead to whatever file that is open on, and renaming would replace a log.
    """
    for _ in range(40):  # as many links as a kernel follows
        path = path.parent.resolve() / path.name
        top = path.parts[1:3]
        if top[:1] in (("dev",), ("proc",)) and top != ("dev", "shm"):
            raise OSError(
                f"{path} names an open file or a device, which cannot be replaced: say - for "
                "standard output, or name a file"
            )
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()
