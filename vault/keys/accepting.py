"""Declares, for an operator, that the keys stored now are the right ones.

For what no backup brings back: a manifest that is gone or was edited, and keys that are lost
permanently. Needs the key server, and so more than the database's owner has.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from vault.errors import KeysUnavailable
from vault.keys.manifest import KeyVersion, Manifest
from vault.keys.mismatches import DataKeysMismatch, KeyMismatch, MismatchKind, compare, inactive
from vault.keys.snapshot import KeyId, Purpose
from vault.keys.stored import NamedManifests, OpenedKeys, no_named_manifests, open_keys, read_keys
from vault.keys.unwrap_failures import StoredKeysWrong
from vault.service.ports import DataKeyStore, KeyManifest, KeyWrapper

__all__ = ["AcceptedKeys", "accept_keys"]


# More than servers write in all time. What comes after a forged number must have one itself.
_MAX_GENERATIONS = 2**32


@dataclass(frozen=True, slots=True)
class AcceptedKeys:
    """What was accepted.

    Attributes:
        generation: of the manifest, now in force.
        keys: how many it lists.
        changed: what differed from the manifest before, a line each.
    """

    generation: int
    keys: int
    changed: Sequence[str]


def accept_keys(
    store: DataKeyStore,
    wrapper: KeyWrapper,
    tenant: str,
    give_up: Set[str],
    named_manifests: NamedManifests = no_named_manifests,
) -> AcceptedKeys:
    """Writes a new generation of the manifest of the keys that are stored.

    Args:
        give_up: fields whose keys are lost permanently. All others are whole from now on.
        named_manifests: names generations that are gone; the new one comes after them.

    Raises:
        DataKeysMismatch: a key is missing of a field that is not given up, or the audit's.
        KeysUnavailable: a key does not open, the key server is unavailable, or another was quicker.
        StoreUnavailable: the database is unavailable.
    """
    row = store.manifest(tenant)
    opened = open_keys(wrapper, read_keys(store, tenant, give_up - {""}))
    stored = opened.stored(tenant)
    before, changed = _before(row, opened, tenant)
    lost = list(compare(before.without(give_up), stored))
    audit = KeyId(tenant, "", Purpose.AUDIT)
    if not any(each.key == audit for each in stored):
        lost.append(KeyMismatch(KeyVersion(audit, 1), MismatchKind.MISSING))
    lost += inactive(stored)
    final = [each for each in lost if each.kind in (MismatchKind.MISSING, MismatchKind.INACTIVE)]
    if final:
        raise DataKeysMismatch(final)
    seen = [number for number, _ in named_manifests(opened.audit_key_of(tenant))]
    if max(seen, default=0) > before.number:
        changed = [*changed, f"the key manifest was put back from generation {max(seen)}"]
        before = replace(before, number=max(seen))
    manifest = before.next({each: key.listed for each, key in stored.items()}, give_up)
    version = max(each.version for each in stored if each.key == audit)
    if not store.add_manifest(manifest.authenticated(opened.audit_key(tenant, version))):
        raise KeysUnavailable("a server wrote the manifest at the same time; try again")
    changed = [*changed, *DataKeysMismatch(lost).lines()]
    return AcceptedKeys(manifest.number, len(stored), changed)


def _before(
    row: KeyManifest | None, opened: OpenedKeys, tenant: str
) -> tuple[Manifest, Sequence[str]]:
    if row is None:
        return Manifest(tenant), []
    try:
        return opened.genuine(row), []
    except StoredKeysWrong as error:
        if row.number > _MAX_GENERATIONS:
            raise KeysUnavailable(
                f"key_manifest has a generation {row.number} that no server wrote: have the owner"
                f" delete that row (WHERE number = {row.number}), and accept again"
            ) from None
        return Manifest(tenant, row.number), error.lines()
