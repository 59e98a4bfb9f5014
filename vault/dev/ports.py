"""Loopback ports that stay the same from one start to the next."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from vault.dev.private_files import write_private

__all__ = ["LOOPBACK", "is_free", "persistent_port", "saved_port"]

LOOPBACK = "127.0.0.1"

# The ports that this process keeps while it lives.
_reserved: set[int] = set()


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

    Else saves a free one there: the preferred one, or any. Until this process ends, no
    other call here and no other program that asks for any port is given the same one.
    """
    saved = saved_port(file, preferred)
    port = saved if saved is not None and is_free(saved) and _claim(saved) else None
    while port is None:
        found = _any_port()
        port = found if _reserve(found) else None
    write_private(file, f"{port}\n")
    return port


def _any_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in _reserved:
            return port


def _claim(port: int) -> bool:
    """Reserves a port that more than one environment may want, as all do at their first start.

    Returns whether nobody was quicker. Two reservations by SO_REUSEPORT, as `_reserve` makes
    them, do not exclude each other: of two processes the name of a socket does, on Linux.
    """
    if port in _reserved or sys.platform != "linux":
        return _reserve(port)
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0tokenvault-dev-port-{port}")
        except OSError:
            return False
        claimed = _reserve(port)
        if claimed:
            claim.detach()  # stays open
    return claimed


def _reserve(port: int) -> bool:
    """Binds the port without listening: the server to come may bind and listen.

    Returns whether nobody was quicker.

    Linux lets it where both set SO_REUSEADDR, or both SO_REUSEPORT as workers do, and gives
    the port to nobody who asks for any. Elsewhere only this process remembers it.
    """
    if port not in _reserved and sys.platform == "linux":
        with socket.socket() as reservation:
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                reservation.bind((LOOPBACK, port))
            except OSError:
                return False
            reservation.detach()  # stays open
    _reserved.add(port)
    return True
