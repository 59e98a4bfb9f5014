"""Values read from files, and read again once the files have changed.

Each use of the value checks the files (one ``stat`` each), so that there is no thread,
and no moment at which a changed file is known and not yet used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from vault.errors import ConfigError
from vault.telemetry.logging import get_log

__all__ = ["FileWatch", "Reloading"]

T = TypeVar("T")
_Stamp = tuple[tuple[int, int, int] | None, ...]
_log = get_log(__name__)


class Reloading(Generic[T]):
    """The last good value of some files. Threads may share it.

    Args:
        what: what the files are, for the log.
        read: reads them all. Raises ConfigError, whose message quotes no content.

    Raises:
        ConfigError: the files cannot be read for the first time.
    """

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._what = what
        self._paths = tuple(paths)
        self._read = read
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._value = read()
        self._problem = ""

    def current(self) -> T:
        """Returns the value of the files as they are, or as they last were good."""
        with self._lock:
            # Taken before reading: what changes meanwhile is read again next time.
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._reload()
            return self._value

    def problem(self) -> str:
        """Returns why the files as they are now are refused, or an empty text."""
        self.current()
        return self._problem

    def _reload(self) -> None:
        try:
            self._value = self._read()
        except ConfigError as error:
            self._problem = error.message
            _log.error(
                "changed files are refused, the old ones stay",
                what=self._what,
                detail=error.message,
            )
        else:
            self._problem = ""
            _log.info("reloaded", what=self._what)

    def _look(self) -> _Stamp:
        return tuple(map(_stamp, self._paths))


class FileWatch:
    """The files and keys that are read again while the server runs, and which are refused now.

    The old values stay in use, so nothing else would show it until they end: a certificate
    expires, an issuer's keys are changed.
    """

    def __init__(self) -> None:
        self._watched: list[tuple[str, Callable[[], str]]] = []

    def add(self, what: str, problem: Callable[[], str]) -> None:
        """Adds what returns why something is refused now, or an empty text."""
        self._watched.append((what, problem))

    def probe(self) -> None:
        """Raises ConfigError where something is refused."""
        found = [(what, problem()) for what, problem in self._watched]
        # The same file may serve two listeners.
        problems = dict.fromkeys(f"{what}: {problem}" for what, problem in found if problem)
        if problems:
            raise ConfigError(f"the old ones stay: {'; '.join(problems)}")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
