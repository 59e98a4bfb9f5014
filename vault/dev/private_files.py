"""Files and directories that only their owner can read, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["private_directory", "read_or_create", "write_private"]


def private_directory(path: Path) -> Path:
    """Makes a directory (parents too) with mode 0700 and returns it; tightens a looser mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def write_private(path: Path, content: str | bytes) -> Path:
    """Writes a 0600 file atomically and durably; returns its path."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def read_or_create(path: Path, nbytes: int = 24) -> str:
    """Returns the secret in a file; makes a random one (hex) where there is none."""
    if not path.exists():
        write_private(path, secrets.token_hex(nbytes))
    return path.read_text("ascii").strip()
