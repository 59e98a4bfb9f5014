"""Loopback ports that stay the same from one start to the next."""

from __future__ import annotations

import socket
from pathlib import Path

from vault.dev.private_files import write_private

__all__ = ["LOOPBACK", "is_free", "remembered_port"]

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


def remembered_port(file: Path, preferred: int | None = None) -> int:
    """Returns the port noted in ``file`` if it is free.

    Else notes a free one there: the preferred one, or any.
    """
    noted = file.read_text("ascii").strip() if file.exists() else str(preferred)
    if noted.isascii() and noted.isdigit() and 1024 <= int(noted) <= 65535 and is_free(int(noted)):
        write_private(file, f"{noted}\n")
        return int(noted)
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    write_private(file, f"{port}\n")
    return port
