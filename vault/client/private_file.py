"""Credential files: only their owner may read the key or change the token."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

__all__ = ["read_private", "read_unshared"]

_ROOT = 0
_WRITABLE = 0o022
_OTHERS = 0o007


def read_private(path: Path, check: Callable[[bytes], None] | None = None) -> bytes:
    """Reads a private key.

    What ``check`` refuses is no such key, and need not be kept from anybody.

    The rule is libpq's: mode 0600 or less, or 0640 where the file is root's, as a secret
    that a kubelet mounts for a pod with an fsGroup.

    Raises:
        OSError: it cannot be read, or others than its owner can read or change it.
    """
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        content = file.read()
        if check is not None:
            check(content)
        forbidden = _WRITABLE | _OTHERS if found.st_uid == _ROOT else 0o077
        if _has_modes() and stat.S_IMODE(found.st_mode) & forbidden:
            raise PermissionError(f"{path} can be read or changed by others; chmod 600 it")
        return content


def read_unshared(path: Path) -> bytes:
    """Reads a token, which an orchestrator may keep readable on a volume of the pod's alone.

    Raises:
        OSError: it cannot be read, or others than its owner can change it, and so who calls.
    """
    with path.open("rb") as file:
        if _has_modes() and os.fstat(file.fileno()).st_mode & _WRITABLE:
            raise PermissionError(f"{path} can be changed by others; only its owner may")
        return file.read()


def _has_modes() -> bool:
    return os.name == "posix"  # elsewhere every file looks open to all
