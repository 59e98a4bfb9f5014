"""Loading the stored keys: opened, compared with the manifest, completed, and listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from structlog.typing import FilteringBoundLogger

from vault.crypto.field_key import MacKey
from vault.crypto.key_check import key_check_value
from vault.errors import KeysUnavailable
from vault.keys.losses import (
    KeysLost,
    Loss,
    LostKey,
    ManifestLost,
    StoredKey,
    compare,
    inactive,
)
from vault.keys.making import KeyMaker
from vault.keys.manifest import ListedKey, Manifest, Place, read_manifest
from vault.keys.snapshot import KeyId, Purpose, context_of, key_id, known_records
from vault.keys.unopened import StoredKeysWrong, Unopened, name_unopened
from vault.service.ports import DataKeyRecord, DataKeyStore, KeyManifest, KeyWrapper

__all__ = ["KeyLoader", "OpenedKeys"]

_log: FilteringBoundLogger = structlog.get_logger("vault.keys")
_MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class OpenedKeys:
    """Stored keys and their roots, in the same order."""

    records: Sequence[DataKeyRecord]
    roots: Sequence[bytes] = field(repr=False)


class KeyLoader:
    """Reads what is stored, and remembers which keys there were.

    What it remembers is the manifest of the last load: this process is a witness of the keys
    that it has used, whatever becomes of the stored manifest. Not for several threads at once.
    """

    def __init__(self, store: DataKeyStore, wrapper: KeyWrapper, tenant: str) -> None:
        self._store = store
        self._wrapper = wrapper
        self._tenant = tenant
        self._remembered: KeyManifest | None = None
        self._known = Manifest(tenant)
        self.maker = KeyMaker(store, wrapper)

    def records(self) -> list[DataKeyRecord]:
        """Reads the stored keys; opens none. Raises StoreUnavailable."""
        return known_records(self._store.all())

    def load(self, wanted: Sequence[KeyId]) -> OpenedKeys:
        """Returns every stored key, after making those of ``wanted`` that never were.

        Raises:
            KeysLost, ManifestLost: stored keys are not those that there were.
            KeysUnavailable: a stored key does not open, or the key server is away.
            StoreUnavailable: the database is away.
        """
        for _ in range(_MAX_ATTEMPTS):
            row, opened = self._read()
            listed = self._checked(row, opened)
            # All that is there must be right before anything is made beside it.
            self._refuse_used(opened.records, wanted)
            if self.maker.complete(opened.records, wanted):
                # Another replica may have been quicker: what is stored now counts.
                continue
            if self._list(row, listed, opened):
                return opened
        raise KeysUnavailable("other servers make keys at the same time; try again")

    def losses(self) -> Sequence[str]:
        """Returns what is wrong with the stored keys; makes and loads nothing.

        While the key server is away it looks only for missing rows. Raises StoreUnavailable.
        """
        row, records = self._stored_rows()
        try:
            self._checked(row, OpenedKeys(records, self._open(records)))
        except StoredKeysWrong as error:
            return error.told()
        except KeysUnavailable:
            there = {Place(key_id(each), each.version) for each in records}
            missing = self._known.keys.keys() - there
            return KeysLost(LostKey(place, Loss.MISSING) for place in missing).told()
        return []

    def _stored_rows(self) -> tuple[KeyManifest | None, Sequence[DataKeyRecord]]:
        # In this order: keys are stored before they are listed, and none is ever removed.
        return self._store.manifest(self._tenant), self.records()

    def _read(self) -> tuple[KeyManifest | None, OpenedKeys]:
        row, records = self._stored_rows()
        return row, OpenedKeys(records, self._open(records))

    def _open(self, records: Sequence[DataKeyRecord]) -> Sequence[bytes]:
        try:
            return self._wrapper.unwrap(
                [(context_of(key_id(each), each.version), each.wrapped) for each in records]
            )
        except Unopened as error:
            raise name_unopened(error, records) from None

    def _checked(self, row: KeyManifest | None, opened: OpenedKeys) -> Manifest:
        """Returns the stored manifest, empty before the first, if all keys are as they were."""
        stored = self._stored(opened)
        _refuse(compare(self._known.keys, stored))
        self._compare_with_memory(row)
        manifest = Manifest(self._tenant) if row is None else self._genuine(row, opened)
        _refuse(compare(manifest.keys, stored))
        _refuse(inactive(stored))
        return manifest

    def _genuine(self, row: KeyManifest, opened: OpenedKeys) -> Manifest:
        manifest = read_manifest(row, _audit_key(self._tenant, row.key_version, opened))
        if manifest is None:
            key = Place(KeyId(self._tenant, "", Purpose.AUDIT), row.key_version)
            raise ManifestLost(
                f"edited: generation {row.number} does not verify under {key} (or that row of"
                " data_keys holds another key than before)"
            )
        return manifest

    def _compare_with_memory(self, row: KeyManifest | None) -> None:
        before = self._remembered
        if before is None or row == before:
            return
        if row is None or row.number <= before.number:
            raise ManifestLost(
                f"put back, removed or replaced while this server ran: generation {before.number}"
                " was in force (after a failover that lost it, restart the servers)"
            )

    def _stored(self, opened: OpenedKeys) -> Mapping[Place, StoredKey]:
        stored = {}
        for record, root in zip(opened.records, opened.roots, strict=True):
            if record.tenant != self._tenant:
                continue
            place = Place(key_id(record), record.version)
            try:
                check = key_check_value(
                    root, record.tenant, record.field, record.purpose, record.version
                )
            except ValueError:
                raise KeysUnavailable("data_keys holds a key that is not one of ours") from None
            stored[place] = StoredKey(ListedKey(check, record.restored), record.active)
        return stored

    def _refuse_used(self, records: Iterable[DataKeyRecord], wanted: Sequence[KeyId]) -> None:
        """Raises KeysLost for a key that is wanted, is not there, and must have been."""
        present = {key_id(record) for record in records}
        missing = [key for key in wanted if key not in present]
        if not missing:
            return
        fields = {key.field for key in present if key.tenant == self._tenant}
        used = self._store.used(self._tenant, sorted({key.field for key in missing}))
        lost = []
        for key in missing:
            # A field's keys are made together, and the audit's before or with all others.
            half = key.field in fields or (key.purpose is Purpose.AUDIT and bool(fields))
            if half or key.field in used:
                loss = Loss.USED if key.field in used else Loss.HALF
                lost.append(LostKey(Place(key, 1), loss))
        _refuse(lost)

    def _list(self, row: KeyManifest | None, listed: Manifest, opened: OpenedKeys) -> bool:
        """Lists keys that are not listed yet; False where another replica was quicker."""
        stored = {place: key.listed for place, key in self._stored(opened).items()}
        if stored.keys() - listed.keys.keys():
            listed = listed.next(stored)
            active = max(place.version for place in stored if place.key.purpose is Purpose.AUDIT)
            row = listed.sealed(_audit_key(self._tenant, active, opened))
            if not self._store.add_manifest(row):
                return False
            _log.info("key_manifest_written", generation=listed.number, keys=len(stored))
        self._remembered, self._known = row, listed
        return True


def _refuse(lost: Iterable[LostKey]) -> None:
    if found := list(lost):
        raise KeysLost(found)


def _audit_key(tenant: str, version: int, opened: OpenedKeys) -> MacKey:
    key = KeyId(tenant, "", Purpose.AUDIT)
    for record, root in zip(opened.records, opened.roots, strict=True):
        if key_id(record) == key and record.version == version:
            return MacKey(version, root)
    # The manifest names it, so it has been there.
    raise KeysLost([LostKey(Place(key, version), Loss.MISSING)])
