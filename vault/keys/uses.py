"""Counting encryptions: blocks reserved in Postgres before they are used.

AES-GCM under random nonces allows 2^32 encryptions a key (NIST SP 800-38D, 8.3). A block
that was reserved and not used up is lost with the process, which errs on the safe side.
"""

from __future__ import annotations

from enum import Enum, auto
from threading import Lock

from vault.keys.snapshot import KeyId
from vault.service.ports import DataKeyStore

__all__ = ["DEFAULT_BLOCK", "MAX_USES", "ChargeResult", "UseCounter"]

DEFAULT_BLOCK = 1_000_000
MAX_USES = 2**31


class ChargeResult(Enum):
    """The result of a charge."""

    TAKEN = auto()
    USED_UP = auto()
    COUNTER_REGRESSED = auto()  # the counter stands lower than this process has seen it


class UseCounter:
    """How many encryptions each key version may still make before it reserves again."""

    def __init__(self, store: DataKeyStore, *, block: int, max_uses: int) -> None:
        if not 0 < block <= max_uses:
            raise ValueError("a block is at least 1 and at most max_uses")
        self._store = store
        self._block = block
        self._max_uses = max_uses
        self._left: dict[tuple[KeyId, int], int] = {}
        self._seen: dict[tuple[KeyId, int], int] = {}
        self._locks: dict[tuple[KeyId, int], Lock] = {}
        self._lock = Lock()

    def charge(self, key: KeyId, version: int, count: int) -> ChargeResult:
        """Takes ``count`` encryptions from a version, or returns why it has no more to give.

        Raises StoreUnavailable where it must reserve and cannot.
        """
        key_version = (key, version)
        with self._lock_of(key_version):
            left = self._left.get(key_version, 0)
            if left < count:
                wanted = max(self._block, count)
                total = self._store.reserve(
                    key.tenant, key.field, key.purpose.value, version, wanted
                )
                if total < self._seen.get(key_version, 0) + wanted:
                    # Restored beneath us, and not to where this process has counted.
                    return ChargeResult.COUNTER_REGRESSED
                self._seen[key_version] = total
                if total > self._max_uses:
                    return ChargeResult.USED_UP
                left += wanted
            self._left[key_version] = left - count
            return ChargeResult.TAKEN

    def _lock_of(self, key_version: tuple[KeyId, int]) -> Lock:
        # One lock per key version: a reservation of one field does not hold up the others.
        with self._lock:
            return self._locks.setdefault(key_version, Lock())
