"""Loopback ports that stay the same from one start to the next."""

from __future__ import annotations

import socket
from pathlib import Path

from vault.dev.private_files import write_private

__all__ = ["LOOPBACK", "is_free", "noted_port", "remembered_port"]

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tells whether nothing listens on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def noted_port(file: Path, preferred: int | None = None) -> int | None:
    """Returns the port noted in ``file``, or the preferred one where none is."""
    noted = file.read_text("ascii", "replace").strip() if file.exists() else str(preferred)
    if noted.isascii() and noted.isdigit() and 1024 <= int(noted) <= 65535:
        return int(noted)
    return preferred


def remembered_port(file: Path, preferred: int | None = None) -> int:
    """Returns the port noted in ``file`` if it is free.

    Else notes a free one there: the preferred one, or any.
    """
    noted = noted_port(file, preferred)
    if noted is not None and is_free(noted):
        write_private(file, f"{noted}\n")
        return noted
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    write_private(file, f"{port}\n")
    return port
