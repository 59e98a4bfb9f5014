"""A log's directory as others read it over HTTP or a file system: C2SP tlog-tiles."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from vault.audit.tlog.note import Note
from vault.audit.tlog.tiles import TILE_WIDTH, Tile
from vault.errors import AuditUnavailable, Reason

__all__ = ["PublishedLog"]

_CHECKPOINT = "checkpoint"
_MAX_CHECKPOINT = 1 << 20
_PUBLIC = 0o644


class PublishedLog:
    """The directory of one log. Raises OSError where it cannot be read or written."""

    def __init__(self, directory: Path, origin: str) -> None:
        """Takes the directory of all logs; each origin has one of its own below it."""
        self._directory = directory / origin

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Holds the directory for the block; yields whether nobody else does."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def checkpoint(self) -> Note | None:
        """Returns the checkpoint that is published, None before the first.

        Raises AuditUnavailable (INTERNAL) for what is none.
        """
        try:
            with (self._directory / _CHECKPOINT).open("rb") as stream:
                return Note.parse(stream.read(_MAX_CHECKPOINT).decode())
        except FileNotFoundError:
            return None
        except ValueError:
            raise AuditUnavailable(
                f"{self._directory / _CHECKPOINT} is no checkpoint: put it back, or move the"
                " directory away",
                reason=Reason.INTERNAL,
            ) from None

    def write(self, tiles: Mapping[Tile, Sequence[bytes]], checkpoint: Note) -> None:
        """Writes tiles, and then the checkpoint that is of them; each appears whole."""
        for tile, hashes in tiles.items():
            _write(self._directory / tile.path, b"".join(hashes))
        # A crash must not keep the checkpoint and lose a tile: none is ever written again.
        for folder in self._folders(tiles):
            _sync(folder)
        _write(self._directory / _CHECKPOINT, str(checkpoint).encode())
        for tile in tiles:
            if tile.width == TILE_WIDTH:  # its unfinished versions are of no more use
                shutil.rmtree(self._directory / f"{tile.path}.p", ignore_errors=True)

    def _folders(self, tiles: Iterable[Tile]) -> set[Path]:
        """Returns the directories that tiles are in, and those around them."""
        found = {self._directory}
        for tile in tiles:
            folder = (self._directory / tile.path).parent
            while folder not in found:
                found.add(folder)
                folder = folder.parent
        return found


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(handle, _PUBLIC)
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
