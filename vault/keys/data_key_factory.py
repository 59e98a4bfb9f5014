"""Making data keys: the first of each, the next when one is used up, all after a restore."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog
from structlog.typing import FilteringBoundLogger

from vault.keys.snapshot import KeyId, Purpose, context_of, key_id
from vault.service.ports import DataKeyRecord, DataKeyStore, KeyWrapper

__all__ = ["DataKeyFactory"]

_log: FilteringBoundLogger = structlog.get_logger("vault.keys")


class DataKeyFactory:
    """Adds versions of keys to the store, wrapped; sees none unwrapped."""

    def __init__(self, store: DataKeyStore, wrapper: KeyWrapper) -> None:
        self._store = store
        self._wrapper = wrapper

    def add(self, wanted: Sequence[tuple[KeyId, int]], *, restored: bool = False) -> None:
        """Makes versions of keys. Raises KeysUnavailable or StoreUnavailable."""
        self._store.add(self._make(wanted, restored=restored))

    def complete(self, records: Sequence[DataKeyRecord], wanted: Iterable[KeyId]) -> bool:
        """Makes what is missing from the stored records; returns whether any were made.

        Call it only once all stored keys have been opened: a key server that has lost its
        Transit key must not put new keys beside those. Raises as ``add``.
        """
        # The epoch first: whoever sees the keys of a first start sees its epoch too.
        begun = self._begin_epoch(records)
        present = {key_id(record) for record in records}
        missing = [(key, 1) for key in wanted if key not in present]
        if missing:
            self.add(missing)
        return begun or bool(missing)

    def _begin_epoch(self, records: Sequence[DataKeyRecord]) -> bool:
        """Begins new field key versions where this database is not the one that counted.

        A restored database may have counted fewer uses than there were.
        """
        identity = self._store.database_identity()
        if identity.current == identity.recorded:
            return False
        highest: dict[KeyId, int] = {}
        for record in records:
            if record.purpose == Purpose.FIELD.value:
                highest[key_id(record)] = max(record.version, highest.get(key_id(record), 0))
        begun = self._make([(key, last + 1) for key, last in highest.items()], restored=True)
        if self._store.begin_epoch(identity.current, begun) and begun:
            _log.warning("database_restored", new_key_versions=len(begun))
        return True

    def _make(self, wanted: Sequence[tuple[KeyId, int]], *, restored: bool) -> list[DataKeyRecord]:
        wrapped = self._wrapper.generate([context_of(key, version) for key, version in wanted])
        return [
            DataKeyRecord(
                key.tenant, key.field, key.purpose.value, version, text, True, 0, restored=restored
            )
            for (key, version), text in zip(wanted, wrapped, strict=True)
        ]
