"""Loads the stored keys: opens them, compares them with the manifest, makes missing ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

import structlog
from structlog.typing import FilteringBoundLogger

from vault.errors import KeysUnavailable
from vault.keys.data_key_factory import DataKeyFactory
from vault.keys.manifest import KeyVersion, Manifest, fields_given_up
from vault.keys.mismatches import (
    DataKeysMismatch,
    KeyMismatch,
    ManifestMismatch,
    MismatchKind,
    compare,
    inactive,
)
from vault.keys.snapshot import KeyId, Purpose, key_id
from vault.keys.stored import NamedManifests, OpenedKeys, no_named_manifests, open_keys, read_keys
from vault.keys.unwrap_failures import StoredKeysWrong
from vault.service.ports import DataKeyRecord, DataKeyStore, KeyManifest, KeyWrapper

__all__ = ["KeyLoader"]

_log: FilteringBoundLogger = structlog.get_logger("vault.keys")
_MAX_ATTEMPTS = 5


class KeyLoader:
    """Loads what is stored, and remembers which keys there were.

    What it remembers is the manifest of the last load: this process is itself a record of the keys
    that it has used, whatever becomes of the stored manifest. Not for several threads at once.
    """

    def __init__(
        self,
        store: DataKeyStore,
        wrapper: KeyWrapper,
        tenant: str,
        named_manifests: NamedManifests = no_named_manifests,
    ) -> None:
        self._named_manifests = named_manifests
        self._store = store
        self._wrapper = wrapper
        self._tenant = tenant
        self._remembered: KeyManifest | None = None
        self._known = Manifest(tenant)
        self.factory = DataKeyFactory(store, wrapper)

    def manifest(self) -> tuple[int, bytes] | None:
        """Returns number and MAC of the manifest of the last load."""
        row = self._remembered
        return (row.number, row.mac) if row is not None else None

    @property
    def given_up(self) -> Set[str]:
        """Fields whose keys an operator gave up, at the last load."""
        return self._known.given_up

    def records(self) -> list[DataKeyRecord]:
        """Reads the stored keys; opens none. Raises StoreUnavailable."""
        return read_keys(self._store, self._tenant, self.given_up)

    def load(self, wanted: Sequence[KeyId]) -> OpenedKeys:
        """Returns every stored key, after making those of ``wanted`` that never were.

        Raises:
            DataKeysMismatch, ManifestMismatch: stored keys are not those that there were.
            KeysUnavailable: a stored key does not open, or the key server is unavailable.
            StoreUnavailable: the database is unavailable.
        """
        for _ in range(_MAX_ATTEMPTS):
            row, records = self._read()
            opened = open_keys(self._wrapper, records)
            listed = self._checked(row, opened)
            still = [key for key in wanted if key.field not in listed.given_up]
            # All that is there must be right before anything is made beside it.
            self._refuse_used(records, still)
            if self.factory.complete(records, still):
                # Another server may have been quicker: what is stored now counts.
                continue
            if self._list(row, listed, opened):
                return opened
        raise KeysUnavailable("other servers make keys at the same time; try again")

    def mismatches(self) -> Sequence[str]:
        """Returns what is wrong with the stored keys; makes and loads nothing.

        While the key server is unavailable it finds only missing rows. Raises StoreUnavailable.
        """
        row, records = self._read()
        try:
            self._checked(row, open_keys(self._wrapper, records))
        except StoredKeysWrong as error:
            return error.lines()
        except KeysUnavailable:
            there = {KeyVersion(key_id(each), each.version) for each in records}
            missing = self._known.without(fields_given_up(row)).keys() - there
            return DataKeysMismatch(
                KeyMismatch(key_version, MismatchKind.MISSING) for key_version in missing
            ).lines()
        return []

    def _read(self) -> tuple[KeyManifest | None, Sequence[DataKeyRecord]]:
        # In this order: keys are stored before they are listed, and none is ever removed.
        row = self._store.manifest(self._tenant)
        return row, read_keys(self._store, self._tenant, fields_given_up(row))

    def _checked(self, row: KeyManifest | None, opened: OpenedKeys) -> Manifest:
        """Returns the stored manifest, empty before the first, if all keys are as they were."""
        stored = opened.stored(self._tenant)
        # What the row claims of fields is believed here, and must then hold under its MAC.
        _refuse(compare(self._known.without(fields_given_up(row)), stored))
        self._compare_with_memory(row)
        if self._remembered is None:
            self._compare_with_audit(opened)
        manifest = Manifest(self._tenant) if row is None else opened.genuine(row)
        _refuse(compare(manifest.without(manifest.given_up), stored))
        _refuse(inactive(stored))
        return manifest

    def _compare_with_memory(self, row: KeyManifest | None) -> None:
        before = self._remembered
        if before is None or row == before:
            return
        if row is None or row.number <= before.number:
            raise ManifestMismatch(
                f"put back, removed or replaced while this server ran: generation {before.number}"
                " was in force (after a failover that lost it, restart the servers)"
            )

    def _compare_with_audit(self, opened: OpenedKeys) -> None:
        seen = self._named_manifests(opened.audit_key_of(self._tenant))
        # Read after the audit was asked: others may have gone on meanwhile.
        row = self._store.manifest(self._tenant)
        for number, mac in seen:
            if row is None or row.number < number or (row.number == number and row.mac != mac):
                raise ManifestMismatch(
                    f"put back, removed or replaced: the audit names generation {number} of it"
                )

    def _refuse_used(self, records: Iterable[DataKeyRecord], wanted: Sequence[KeyId]) -> None:
        """Raises DataKeysMismatch for a key that is wanted, is not there, and must have been."""
        present = {key_id(record) for record in records}
        missing = [key for key in wanted if key not in present]
        if not missing:
            return
        fields = {key.field for key in present if key.tenant == self._tenant}
        used = self._store.used_fields(self._tenant, sorted({key.field for key in missing}))
        lost = []
        for key in missing:
            # A field's keys are made together, and the audit's before or with all others.
            half = key.field in fields or (key.purpose is Purpose.AUDIT and bool(fields))
            if half or key.field in used:
                kind = MismatchKind.USED if key.field in used else MismatchKind.HALF
                lost.append(KeyMismatch(KeyVersion(key, 1), kind))
        _refuse(lost)

    def _list(self, row: KeyManifest | None, listed: Manifest, opened: OpenedKeys) -> bool:
        """Lists keys that are not listed yet; False where another server was quicker."""
        stored = {each: key.listed for each, key in opened.stored(self._tenant).items()}
        if stored.keys() - listed.keys.keys():
            listed = listed.next(stored)
            row = listed.authenticated(opened.audit_key(self._tenant, listed.audit_version()))
            if not self._store.add_manifest(row):
                return False
            _log.info("key_manifest_written", generation=listed.number, keys=len(listed.keys))
        self._remembered, self._known = row, listed
        return True


def _refuse(lost: Iterable[KeyMismatch]) -> None:
    if found := list(lost):
        raise DataKeysMismatch(found)
