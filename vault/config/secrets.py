"""Secrets in files that nobody but their owner can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vault.errors import ConfigError

__all__ = ["read_projected_token", "read_secret"]

_MAX_SECRET_BYTES = 65536


def read_secret(path: Path, key: str) -> str:
    """Reads a secret, without the white space around it.

    Args:
        path: the file.
        key: the setting that names it, for the error.

    Raises:
        ConfigError: the file is missing, empty, or readable by others than its owner.
    """
    return _read(path, key, 0o077, "is readable by others; chmod 600 it")


def read_projected_token(path: Path, key: str) -> str:
    """Reads a token that an orchestrator keeps in a file and replaces before it ends.

    Who may read it is the kubelet's choice, not ours: 0600 for the pod's own user, 0640
    where the pod has an fsGroup, 0644 where it has neither, on a volume of the pod's alone.
    So reading is nobody's business here. Writing is: whoever can replace the token decides
    which account the service logs in with.

    Raises:
        ConfigError: the file is missing, empty, or others than its owner can write it.
    """
    return _read(path, key, 0o022, "can be written by others; only its owner may")


def _read(path: Path, key: str, forbidden: int, complaint: str) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{key}: {path} is not a regular file")
            if mode & forbidden:
                raise ConfigError(f"{key}: {path} {complaint}")
            secret = file.read(_MAX_SECRET_BYTES).decode("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {path} is not text") from None
    if not secret:
        raise ConfigError(f"{key}: {path} is empty")
    return secret
