"""A tenant's stored keys, read and opened, not yet checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TypeAlias

from vault.crypto.field_key import MacKey
from vault.crypto.key_check import key_check_value
from vault.errors import DecryptionFailed, KeysUnavailable
from vault.keys.manifest import KeyVersion, ListedKey, Manifest, read_manifest
from vault.keys.mismatches import (
    DataKeysMismatch,
    KeyMismatch,
    ManifestMismatch,
    MismatchKind,
    StoredKey,
)
from vault.keys.snapshot import KeyId, Purpose, context_of, key_id, known_records
from vault.keys.unwrap_failures import UnwrapFailed, name_unwrap_failures
from vault.service.ports import DataKeyRecord, DataKeyStore, KeyManifest, KeyWrapper

__all__ = ["NamedManifests", "OpenedKeys", "no_named_manifests", "open_keys", "read_keys"]

NamedManifests: TypeAlias = Callable[[Callable[[int], MacKey]], Iterable[tuple[int, bytes]]]
"""Returns number and MAC of each generation of the manifest that something outside of the keys'
tables names. It verifies that by the audit key, whose versions its argument returns (raises
DecryptionFailed where there is none). Raises Unavailable."""


def no_named_manifests(_: Callable[[int], MacKey]) -> Iterable[tuple[int, bytes]]:
    """Returns none."""
    return ()


@dataclass(frozen=True, slots=True)
class OpenedKeys:
    """Stored keys and their roots, in the same order."""

    records: Sequence[DataKeyRecord]
    roots: Sequence[bytes] = field(repr=False)

    def stored(self, tenant: str) -> Mapping[KeyVersion, StoredKey]:
        """Returns a tenant's keys. Raises KeysUnavailable for a root that is none of ours."""
        stored = {}
        for record, root in zip(self.records, self.roots, strict=True):
            if record.tenant != tenant:
                continue
            try:
                check = key_check_value(
                    root, record.tenant, record.field, record.purpose, record.version
                )
            except ValueError:
                raise KeysUnavailable("data_keys holds a key that is not one of ours") from None
            key_version = KeyVersion(key_id(record), record.version)
            stored[key_version] = StoredKey(ListedKey(check, record.restored), record.active)
        return stored

    def audit_key(self, tenant: str, version: int) -> MacKey:
        """Returns a version of the audit key. Raises DataKeysMismatch: somebody has seen it."""
        key = KeyId(tenant, "", Purpose.AUDIT)
        for record, root in zip(self.records, self.roots, strict=True):
            if key_id(record) == key and record.version == version:
                return MacKey(version, root)
        raise DataKeysMismatch([KeyMismatch(KeyVersion(key, version), MismatchKind.MISSING)])

    def audit_key_of(self, tenant: str) -> Callable[[int], MacKey]:
        """Returns where the versions of the audit key are, for reading the audit."""

        def key_of(version: int) -> MacKey:
            try:
                return self.audit_key(tenant, version)
            except DataKeysMismatch:
                raise DecryptionFailed from None

        return key_of

    def genuine(self, row: KeyManifest) -> Manifest:
        """Reads a stored manifest. Raises DataKeysMismatch or ManifestMismatch."""
        manifest = read_manifest(row, self.audit_key(row.tenant, row.key_version))
        if manifest is None:
            key = KeyVersion(KeyId(row.tenant, "", Purpose.AUDIT), row.key_version)
            raise ManifestMismatch(
                f"edited: generation {row.number} does not verify under {key} (or that row of"
                " data_keys holds another key than before)"
            )
        return manifest


def read_keys(store: DataKeyStore, tenant: str, without: Set[str]) -> list[DataKeyRecord]:
    """Reads the stored keys, without those of fields that were given up."""
    return [
        record
        for record in known_records(store.all())
        if record.tenant != tenant or record.field not in without
    ]


def open_keys(wrapper: KeyWrapper, records: Sequence[DataKeyRecord]) -> OpenedKeys:
    """Opens them. Raises KeysUnavailable, which names those that do not open."""
    try:
        items = [(context_of(key_id(each), each.version), each.wrapped) for each in records]
        return OpenedKeys(records, wrapper.unwrap(items))
    except UnwrapFailed as error:
        raise name_unwrap_failures(error, records) from None
