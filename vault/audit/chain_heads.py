"""The writers of one server process: chains of records, leased one transaction at a time.

A chain head knows its writer's last record, so a transaction need not read it and two
transactions never queue for one chain. A chain head moves on only after a commit, stays where
it is after a rollback, and is given up where nobody knows which it was: its
writer then simply ends there. Numbers therefore have no gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from vault.audit.record import NamedManifest, Record
from vault.crypto.field_key import MacKey

__all__ = ["ChainHead", "ChainHeadPool"]


@dataclass(frozen=True, slots=True)
class ChainHead:
    """A writer and its last record, as of the last commit."""

    writer: UUID
    number: int
    mac: bytes

    def after(self, record: Record) -> ChainHead:
        """Returns the chain head once ``record`` is committed."""
        return ChainHead(record.writer, record.number, record.mac)


class ChainHeadPool:
    """The free chain heads of one process; threads share it.

    It holds no more of them than there were transactions at once, but for those that were
    opened to name a lost one. It must not be carried across a fork: two processes on one
    chain would fight over its numbers.
    """

    def __init__(
        self,
        server: str,
        key: Callable[[], MacKey],
        keys: Callable[[], NamedManifest | None] = lambda: None,
    ) -> None:
        """Takes this process's name for the records, and what returns the active audit key.

        ``key`` may raise KeysUnavailable.

        Args:
            keys: returns the key manifest in force, for openings to name. A new one is named
                by the next call, which opens a writer for it.
        """
        self.server = server
        self._key = key
        self._free: deque[ChainHead] = deque()
        self._lost: deque[ChainHead] = deque()
        self._manifest_named: NamedManifest | None = None
        self.keys = keys
        self._last_committed: dict[UUID, ChainHead] = {}

    def key(self) -> MacKey:
        """Returns the active audit key. Raises KeysUnavailable."""
        return self._key()

    def lease(self) -> ChainHead | None:
        """Takes a free chain head, None where a new one must be opened.

        A new one must be opened where a chain head was lost, or the key manifest is new: only an
        opening can name them.
        """
        if self._lost or self.keys() != self._manifest_named:
            return None
        try:
            return self._free.pop()
        except IndexError:
            return None

    def lose(self, chain_head: ChainHead) -> None:
        """Keeps a chain head that the database no longer knows, for the next opening to name.

        This process may be the only one that knows of a chain that was removed.
        """
        self._lost.append(chain_head)

    def lost(self) -> ChainHead | None:
        """Returns a chain head that was lost and not named yet."""
        return self._lost[0] if self._lost else None

    def mark_named(self, chain_head: ChainHead) -> None:
        """Notes that the opening that names a lost chain head is committed."""
        if chain_head in self._lost:
            self._lost.remove(chain_head)

    def mark_manifest_named(self, keys: NamedManifest | None) -> None:
        """Notes that the opening that names a key manifest is committed."""
        self._manifest_named = keys

    def release(self, chain_head: ChainHead) -> None:
        """Makes a chain head free again, as it is after its transaction."""
        # First: whoever leases it next may have moved it on by the time this thread goes on.
        self._last_committed[chain_head.writer] = chain_head
        self._free.append(chain_head)

    def last_committed(self) -> Sequence[ChainHead]:
        """Returns every writer of this process with the last record it surely committed.

        Those too that were given up or lost.
        """
        return list(self._last_committed.copy().values())
