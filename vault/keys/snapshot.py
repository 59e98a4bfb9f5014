"""All unwrapped keys at one moment: immutable, replaced as a whole."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from vault.crypto.field_key import FieldKey, IndexKey, MacKey, data_key_context
from vault.service.ports import DataKeyRecord

__all__ = [
    "KeyId",
    "KeySnapshot",
    "KeyVersions",
    "Purpose",
    "build_snapshot",
    "context_of",
    "known_records",
]

K = TypeVar("K", FieldKey, IndexKey, MacKey)
_Key = FieldKey | IndexKey | MacKey

# Fingerprints recognise an unwrapped key without keeping it: MACs under a key of this process.
_FINGERPRINT_KEY = os.urandom(32)


class Purpose(StrEnum):
    """What a data key is for."""

    FIELD = "field"
    INDEX = "index"
    AUDIT = "audit"


class KeyId(NamedTuple):
    """Names a data key, whatever its version. ``field`` is empty for the audit key."""

    tenant: str
    field: str
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class KeyVersions(Generic[K]):
    """The versions of one key.

    Attributes:
        active: what encrypts.
        token_key: what makes new tokens: the active version, or the last before it that was
            not begun by a restore.
    """

    active: K
    token_key: K
    by_version: Mapping[int, K] = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """Keys until ``ends`` on the monotonic clock; ``loaded`` is when unwrapping began."""

    loaded: float
    ends: float
    fields: Mapping[KeyId, KeyVersions[FieldKey]] = field(repr=False)
    indexes: Mapping[KeyId, KeyVersions[IndexKey]] = field(repr=False)
    audits: Mapping[KeyId, KeyVersions[MacKey]] = field(repr=False)
    fingerprints: Mapping[tuple[KeyId, int], bytes] = field(repr=False)

    def has(self, key: KeyId) -> bool:
        """Returns whether any version of the key is here."""
        return key in self.fields or key in self.indexes or key in self.audits


def key_id(record: DataKeyRecord) -> KeyId:
    """Returns the name of a record's key."""
    return KeyId(record.tenant, record.field, Purpose(record.purpose))


def context_of(key: KeyId, version: int) -> bytes:
    """Returns the derivation context of one version of a key."""
    return data_key_context(key.tenant, key.field, key.purpose.value, version)


def known_records(records: Iterable[DataKeyRecord]) -> list[DataKeyRecord]:
    """Leaves out keys of purposes that only a later release has."""
    known = {purpose.value for purpose in Purpose}
    return [record for record in records if record.purpose in known]


def build_snapshot(
    records: Sequence[DataKeyRecord],
    roots: Sequence[bytes],
    *,
    loaded: float,
    ends: float,
    before: KeySnapshot | None,
) -> KeySnapshot:
    """Makes a snapshot of records and their unwrapped roots, in the same order.

    Key objects of the snapshot before are kept where root and version are the same: they
    have cipher contexts that took time to make. Raises ValueError for a root that is not
    32 bytes or a key without an active version.
    """
    fingerprints: dict[tuple[KeyId, int], bytes] = {}
    keys: dict[KeyId, dict[int, _Key]] = {}
    for record, root in zip(records, roots, strict=True):
        key = key_id(record)
        fingerprint = hmac.digest(_FINGERPRINT_KEY, root, "sha256")
        fingerprints[key, record.version] = fingerprint
        kept = _kept(before, key, record.version, fingerprint)
        keys.setdefault(key, {})[record.version] = kept or _build(key, record.version, root)
    active = {key_id(record): record.version for record in records if record.active}
    restored = {(key_id(record), record.version) for record in records if record.restored}
    return KeySnapshot(
        loaded,
        ends,
        _select(FieldKey, keys, active, restored),
        _select(IndexKey, keys, active, restored),
        _select(MacKey, keys, active, restored),
        MappingProxyType(fingerprints),
    )


def _build(key: KeyId, version: int, root: bytes) -> _Key:
    match key.purpose:
        case Purpose.FIELD:
            return FieldKey(root, key.tenant, key.field, version)
        case Purpose.INDEX:
            return IndexKey(root, key.tenant, key.field, version)
        case Purpose.AUDIT:
            return MacKey(version, root)


def _kept(before: KeySnapshot | None, key: KeyId, version: int, fingerprint: bytes) -> _Key | None:
    if before is None or not hmac.compare_digest(
        before.fingerprints.get((key, version), b""), fingerprint
    ):
        return None
    match key.purpose:
        case Purpose.FIELD:
            return before.fields[key].by_version[version]
        case Purpose.INDEX:
            return before.indexes[key].by_version[version]
        case Purpose.AUDIT:
            return before.audits[key].by_version[version]


def _select(
    kind: type[K],
    keys: Mapping[KeyId, Mapping[int, _Key]],
    active: Mapping[KeyId, int],
    restored: Set[tuple[KeyId, int]],
) -> Mapping[KeyId, KeyVersions[K]]:
    chosen: dict[KeyId, KeyVersions[K]] = {}
    for key, versions in keys.items():
        ours = {version: each for version, each in versions.items() if isinstance(each, kind)}
        if not ours:
            continue
        if active.get(key) not in ours:
            raise ValueError("a key has no active version")
        now = active[key]
        own = [version for version in ours if version <= now and (key, version) not in restored]
        chosen[key] = KeyVersions(ours[now], ours[max(own, default=now)], MappingProxyType(ours))
    return MappingProxyType(chosen)
