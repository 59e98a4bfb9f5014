"""Hashes of perfect subtrees, which proofs and tiles are made of.

None is stored. A root's row has the peaks of its tree, so a subtree is what its last root
before its end has of it, and the leaves from there on: one where it ends with a tile of 256, as
there is a root before the last leaf of each; fewer than one transaction adds, of logs from before
these roots. They never change, so the ones that proofs ask for most are kept in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeVar

from sqlalchemy import Connection, text

from vault.audit.merkle import HASH_BYTES, Tree
from vault.audit.tlog.proofs import HashOf
from vault.errors import AuditUnavailable, Reason

__all__ = ["SubtreeHashes"]

T = TypeVar("T")
_Place = tuple[int, int]
_MAX_CACHED = 20_000  # some 3 MB
# Of one subtree: its last root before its end, if one lies within, and the leaves after that.
_SUBTREES = text("""
SELECT u.first, r.size, r.peaks, l.leaves
FROM unnest(CAST(:firsts AS bigint[]), CAST(:ends AS bigint[]))
     WITH ORDINALITY AS u (first, last, place)
LEFT JOIN LATERAL (
    SELECT size, peaks FROM audit_roots WHERE size > u.first AND size < u.last
    ORDER BY size DESC LIMIT 1
) r ON true
CROSS JOIN LATERAL (
    SELECT string_agg(leaf, ''::bytea ORDER BY position) AS leaves FROM (
        SELECT position, leaf FROM audit_log
        WHERE position > coalesce(r.size, u.first) AND position <= u.last
        ORDER BY position LIMIT 10000
    ) few
) l
ORDER BY u.place
""")


class SubtreeHashes:
    """The hashes that one process read. Threads share it."""

    def __init__(self) -> None:
        self._cached: OrderedDict[_Place, bytes] = OrderedDict()
        self._lock = Lock()

    def collect(self, connection: Connection, make: Callable[[HashOf], T]) -> T:
        """Returns what ``make`` makes of the hashes it asks for, read in one statement.

        Raises AuditUnavailable (INTERNAL) where the log lacks what they are made of.
        """
        asked: list[_Place] = []

        def note(level: int, index: int) -> bytes:
            asked.append((level, index))
            return bytes(HASH_BYTES)

        make(note)
        found = self._known(asked)
        missing = [place for place in asked if place not in found]
        if missing:
            read = dict(zip(missing, _read(connection, missing), strict=True))
            found.update(read)
            self._keep(read)
        return make(lambda level, index: found[level, index])

    def forget(self) -> None:
        """Forgets all: the database was put back, or what was read was none of it."""
        with self._lock:
            self._cached.clear()

    def _known(self, places: Sequence[_Place]) -> dict[_Place, bytes]:
        with self._lock:
            known = {place: self._cached[place] for place in places if place in self._cached}
            for place in known:
                self._cached.move_to_end(place)
        return known

    def _keep(self, read: dict[_Place, bytes]) -> None:
        with self._lock:
            self._cached.update(read)
            while len(self._cached) > _MAX_CACHED:
                self._cached.popitem(last=False)


def _read(connection: Connection, places: Sequence[_Place]) -> list[bytes]:
    firsts = [index << level for level, index in places]
    ends = [index + 1 << level for level, index in places]
    rows = connection.execute(_SUBTREES, {"firsts": firsts, "ends": ends})
    return [_subtree(level, *row) for (level, _), row in zip(places, rows, strict=True)]


def _subtree(
    level: int, first: int, size: int | None, peaks: bytes | None, leaves: bytes | None
) -> bytes:
    before = size - first if size is not None else 0
    row = leaves or b""
    try:
        # A subtree begins where its tree does, so its own peaks are the last ones.
        own = (peaks or b"")[-HASH_BYTES * before.bit_count() :] if before else b""
        tree = Tree.from_bytes(before, own)
        tree = tree.grown(row[at : at + HASH_BYTES] for at in range(0, len(row), HASH_BYTES))
    except ValueError:
        tree = Tree(0, ())
    if tree.size != 1 << level:
        raise AuditUnavailable(
            "entries or roots of the log are missing: run `tokenvault audit verify`",
            reason=Reason.INTERNAL,
        )
    return tree.peaks[0]
