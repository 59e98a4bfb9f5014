"""A log's objects as others read them over HTTP: C2SP tlog-tiles, and every checkpoint by its size.

No lock keeps servers apart: conditions of the writes do. A tile and the checkpoint of a size are
written once and never again; what is there already must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from vault.audit.objects.store import ObjectStore
from vault.audit.tlog.note import Note
from vault.audit.tlog.tiles import Tile
from vault.audit.tlog.tree_head import TreeHead
from vault.audit.tree.place import OvertakenError
from vault.errors import AuditUnavailable, Reason

__all__ = ["PublishedObjects"]

_CHECKPOINT = "checkpoint"


class PublishedObjects:
    """The objects of one log. Raises AuditUnavailable where they cannot be read or written."""

    def __init__(self, store: ObjectStore, origin: str) -> None:
        """Takes the store of all logs; each origin has a prefix of its own in it."""
        self._store = store
        self._origin = origin
        self._tag = ""  # of the checkpoint as it was read or written last

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Yields True: who is overtaken learns it when it writes."""
        yield True

    def checkpoint(self) -> Note | None:
        """Returns the checkpoint that is published, None before the first.

        Raises AuditUnavailable (INTERNAL) for what is none.
        """
        found = self._store.get(self._named(_CHECKPOINT))
        self._tag = "" if found is None else found.tag
        return None if found is None else self._note(_CHECKPOINT, found.content)

    def write(self, tiles: Mapping[Tile, Sequence[bytes]], checkpoint: Note) -> None:
        """Writes tiles, and then the checkpoint that is of them.

        Raises OvertakenError where somebody else has published since it was read, and
        AuditUnavailable (INTERNAL) where something else is in the place of a tile, or a
        checkpoint of the same size.
        """
        for tile, hashes in tiles.items():
            self._write_once(tile.path, b"".join(hashes))
        self._write_by_size(checkpoint)
        content = str(checkpoint).encode()
        name = self._named(_CHECKPOINT)
        written = (
            self._store.replace(name, content, self._tag)
            if self._tag
            else self._store.create(name, content)
        )
        if written is None:
            raise OvertakenError
        self._tag = written

    def _write_by_size(self, checkpoint: Note) -> None:
        size = TreeHead.from_text(checkpoint.text).size
        name = f"checkpoints/{size:020}"
        content = str(checkpoint).encode()
        if self._store.create(self._named(name), content) is not None:
            # A store that knows no conditions would have let anything be replaced.
            if self._store.create(self._named(name), content) is not None:
                raise _refused("it ignores If-None-Match, so that anything could be replaced")
            return
        if self._note(name, self._there(name)).text != checkpoint.text:
            raise _refused(f"it has another checkpoint over {size} entries")

    def _write_once(self, name: str, content: bytes) -> None:
        if self._store.create(self._named(name), content) is not None:
            return
        if self._there(name) != content:
            raise _refused(f"it has something else as {name}")

    def _there(self, name: str) -> bytes:
        """Returns what was in the place of something that was to be written."""
        found = self._store.get(self._named(name))
        if found is None:  # not any more, or not yet
            raise OvertakenError
        return found.content

    def _note(self, name: str, content: bytes) -> Note:
        try:
            return Note.parse(content.decode())
        except ValueError:
            raise _refused(f"its {name} is none: put it back, or use another prefix") from None

    def _named(self, name: str) -> str:
        return f"{self._origin}/{name}"


def _refused(why: str) -> AuditUnavailable:
    return AuditUnavailable(
        f"nothing was published into the object store: {why}", reason=Reason.INTERNAL
    )
