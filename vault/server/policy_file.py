"""The policy file on disk: read whole, and checked for changes without reading it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from vault.errors import PolicyError
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy

__all__ = ["PolicyFile"]

_Mark = tuple[int, int, int]
_MAX_BYTES = 4 << 20  # far above what parse_policy takes


class PolicyFile:
    """A policy file that may change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Mark | None = None
        self._digest = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes as last read; empty where it could not be."""
        return self._digest

    def read(self) -> Policy:
        """Reads the file. Raises PolicyError."""
        # Marked before it is read: a change in between shows at the next check.
        self._seen, self._digest = self._mark(), ""
        try:
            # Bytes, not text: the digest is that of the file, line ends included.
            content = _content(self._path)
            self._digest = hashlib.sha256(content).hexdigest()
            document = content.decode("utf-8")
        except OSError as error:
            raise PolicyError(
                f"policy.path: {self._path} cannot be read: {error.strerror}"
            ) from None
        except UnicodeDecodeError:
            raise PolicyError(f"{self._path}: is not UTF-8 text") from None
        return parse_policy(document, str(self._path))

    def changed(self) -> bool:
        """Returns whether the file, or its absence, is another than at the last read."""
        return self._mark() != self._seen

    def _mark(self) -> _Mark | None:
        # The inode too: a file put in another's place may be as old and as long.
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path) -> bytes:
    """Reads a file whole. Raises OSError, and PolicyError where it has no end or waits for one.

    The thread that reads it also confirms the policy in force: it must not be kept.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PolicyError(f"policy.path: {path} is no regular file")
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise PolicyError(f"policy.path: {path} is larger than {_MAX_BYTES:,} bytes")
    return content
