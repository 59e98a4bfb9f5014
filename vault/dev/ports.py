"""Loopback ports that stay the same from one start to the next."""

from __future__ import annotations

import socket
from pathlib import Path

from vault.dev.private_files import write_private

__all__ = ["LOOPBACK", "is_free", "persistent_port", "saved_port"]

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Returns whether nothing listens on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def saved_port(file: Path, preferred: int | None = None) -> int | None:
    """Returns the port saved in ``file``, or the preferred one where none is."""
    saved = file.read_text("ascii", "replace").strip() if file.exists() else str(preferred)
    if saved.isascii() and saved.isdigit() and 1024 <= int(saved) <= 65535:
        return int(saved)
    return preferred


def persistent_port(file: Path, preferred: int | None = None) -> int:
    """Returns the port saved in ``file`` if it is free.

    Else saves a free one there: the preferred one, or any.
    """
    saved = saved_port(file, preferred)
    if saved is not None and is_free(saved):
        write_private(file, f"{saved}\n")
        return saved
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    write_private(file, f"{port}\n")
    return port
