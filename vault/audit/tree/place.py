"""Where a log is published: what a directory and an object store have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from vault.audit.tlog.note import Note
from vault.audit.tlog.tiles import Tile

__all__ = ["OvertakenError", "Place"]


class OvertakenError(Exception):
    """Somebody else has published since the checkpoint was read. Nothing of it is lost."""


class Place(Protocol):
    """The place of one log. May raise AuditUnavailable and OSError."""

    def locked(self) -> AbstractContextManager[bool]:
        """Holds the place for a block, if it can be held; yields whether nobody else does."""

    def checkpoint(self) -> Note | None:
        """Returns the checkpoint that is published, None before the first.

        Raises AuditUnavailable (INTERNAL) for what is none.
        """

    def write(self, tiles: Mapping[Tile, Sequence[bytes]], checkpoint: Note) -> None:
        """Writes tiles, and then the checkpoint that is of them. May raise OvertakenError."""
