"""Look-ups of the keys in memory: every version of every data key, until its lifetime ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import RLock
from typing import NamedTuple, NoReturn, TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

from vault.crypto.field_key import FieldKey, IndexKey, MacKey
from vault.errors import DecryptionFailed, KeysUnavailable, TokenvaultError
from vault.keys.loading import KeyLoader
from vault.keys.refresher import KeyRefresher
from vault.keys.snapshot import (
    KeyId,
    KeySnapshot,
    KeyVersions,
    Purpose,
    build_snapshot,
    key_id,
)
from vault.keys.stored import NamedManifests, no_named_manifests
from vault.keys.uses import DEFAULT_BLOCK, MAX_USES, ChargeResult, UseCounter
from vault.model import DEFAULT_TENANT, TokenSpace
from vault.service.ports import DataKeyRecord, DataKeyStore, KeyWrapper

__all__ = ["Keyring", "KeyringStatus"]

K = TypeVar("K", FieldKey, IndexKey, MacKey)

_log: FilteringBoundLogger = structlog.get_logger("vault.keys")
_CATCH_UP_INTERVAL = 1.0
_MAX_ROTATIONS = 5


class KeyringStatus(NamedTuple):
    """The state of the keys in memory.

    Attributes:
        ready: keys are here and within their lifetime.
        message: the problem of the last refresh, empty when it succeeded.
        seconds_left: until calls fail closed, unless a refresh succeeds before.
    """

    ready: bool
    message: str
    seconds_left: float


class Keyring:
    """``KeySource``: every version of every data key, unwrapped.

    Call ``start`` before anything else. Threads may share it; readers see one snapshot and
    take no lock.
    """

    def __init__(
        self,
        store: DataKeyStore,
        wrapper: KeyWrapper,
        fields: Iterable[str],
        *,
        tenant: str = DEFAULT_TENANT,
        lifetime: float = 3600.0,
        block: int = DEFAULT_BLOCK,
        max_uses: int = MAX_USES,
        named_manifests: NamedManifests = no_named_manifests,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Loads nothing yet.

        Args:
            fields: the policy's field names.
            lifetime: seconds from the moment unwrapping began until keys may not be used.
            block: encryptions reserved at a time.
            max_uses: encryptions of one version before a new one is made.
            named_manifests: returns, before the first load, which manifests there were.
            clock: seconds on a monotonic clock.
        """
        self._loader = KeyLoader(store, wrapper, tenant, named_manifests)
        self._tenant = tenant
        self._fields = frozenset(fields)
        self._lifetime = lifetime
        self._clock = clock
        self._uses = UseCounter(store, block=block, max_uses=max_uses)
        self._snapshot: KeySnapshot | None = None
        self._loading = RLock()
        self._last_catch_up = -_CATCH_UP_INTERVAL
        self._stored: frozenset[tuple[KeyId, int]] = frozenset()
        self._problem = "the keys are not loaded yet"
        self._refresher = KeyRefresher(
            lambda: self._snapshot, self.reload, self._drop, lifetime, clock
        )

    def __repr__(self) -> str:
        return f"<Keyring tenant={self._tenant} fields={len(self._fields)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keyring cannot be pickled or copied")

    def start(self) -> None:
        """Makes missing keys, unwraps all, and refreshes them in the background from then on.

        Raises KeysUnavailable or StoreUnavailable; then it may be called again.
        """
        self.reload()
        self._refresher.start()

    def close(self) -> None:
        """Stops refreshing and drops all keys."""
        self._refresher.stop()
        self._snapshot = None
        self._problem = "the keyring is closed"

    def ensure(self, fields: Iterable[str]) -> None:
        """Loads keys for these fields too, as a new policy needs before it is in force.

        Raises KeysUnavailable or StoreUnavailable.
        """
        with self._loading:
            self._fields |= frozenset(fields)
            snapshot = self._snapshot
            wanted = [key for key in self._wanted() if key.field not in self._loader.given_up]
            if snapshot is None or not all(snapshot.has(key) for key in wanted):
                self.reload()

    def reload(self) -> None:
        """Reads and unwraps all keys again. Raises KeysUnavailable or StoreUnavailable."""
        with self._loading:
            try:
                self._load()
            except TokenvaultError as error:
                self._problem = error.message
                raise
            self._problem = ""

    def status(self) -> KeyringStatus:
        """Returns the state of the keys, from memory alone."""
        snapshot = self._snapshot
        left = 0.0 if snapshot is None else max(0.0, snapshot.ends - self._clock())
        return KeyringStatus(left > 0, self._problem, left)

    def manifest(self) -> tuple[int, bytes] | None:
        """Returns generation and MAC of the key manifest in force, None before the first load."""
        return self._loader.manifest()

    def mismatches(self) -> Sequence[str]:
        """Returns a line for each stored key that is not as it must be.

        Asks database and key server, and changes nothing. Raises StoreUnavailable.
        """
        with self._loading:
            return self._loader.mismatches()

    def for_encryption(self, space: TokenSpace, count: int) -> FieldKey:
        """Returns the active field key, with ``count`` AES-GCM encryptions charged to it.

        Raises KeysUnavailable, and StoreUnavailable where it must reserve uses.
        """
        key = KeyId(space.tenant, space.field, Purpose.FIELD)
        for _ in range(_MAX_ROTATIONS):
            active = self.active_field_key(space)
            charge = self._uses.charge(key, active.version, count)
            if charge is ChargeResult.TAKEN:
                return active
            self._rotate(key, active.version, restored=charge is ChargeResult.COUNTER_REGRESSED)
        raise KeysUnavailable("every new key version was used up at once; try again")

    def active_field_key(self, space: TokenSpace) -> FieldKey:
        """Returns the active field key. Raises KeysUnavailable."""
        key = KeyId(space.tenant, space.field, Purpose.FIELD)
        return self._find(lambda snapshot: snapshot.fields, key).active

    def token_field_key(self, space: TokenSpace) -> FieldKey:
        """Returns the field key whose ciphers make new tokens. Raises KeysUnavailable."""
        key = KeyId(space.tenant, space.field, Purpose.FIELD)
        return self._find(lambda snapshot: snapshot.fields, key).token_key

    def field_key(self, space: TokenSpace, version: int) -> FieldKey:
        """Returns the field key of a version. Raises KeysUnavailable or DecryptionFailed."""
        key = KeyId(space.tenant, space.field, Purpose.FIELD)
        return self._find_version(lambda snapshot: snapshot.fields, key, version)

    def index_key(self, space: TokenSpace) -> IndexKey:
        """Returns the active blind-index key. Raises KeysUnavailable."""
        key = KeyId(space.tenant, space.field, Purpose.INDEX)
        return self._find(lambda snapshot: snapshot.indexes, key).active

    def index_keys(self, space: TokenSpace) -> Sequence[IndexKey]:
        """Returns every version of the blind-index key. Raises KeysUnavailable."""
        key = KeyId(space.tenant, space.field, Purpose.INDEX)
        return tuple(self._find(lambda snapshot: snapshot.indexes, key).by_version.values())

    def audit_key(self, tenant: str, version: int | None = None) -> MacKey:
        """Returns the tenant's audit key: the active one, or that of a version.

        Raises KeysUnavailable, or DecryptionFailed where there is no such version.
        """
        key = KeyId(tenant, "", Purpose.AUDIT)
        if version is None:
            return self._find(lambda snapshot: snapshot.audits, key).active
        return self._find_version(lambda snapshot: snapshot.audits, key, version)

    def _current(self) -> KeySnapshot:
        snapshot = self._snapshot
        if snapshot is None or self._clock() >= snapshot.ends:
            raise KeysUnavailable(
                f"the keys in memory have expired: {self._problem or 'reloading'}"
            )
        return snapshot

    def _find(
        self, table: Callable[[KeySnapshot], Mapping[KeyId, KeyVersions[K]]], key: KeyId
    ) -> KeyVersions[K]:
        found = table(self._current()).get(key)
        if found is None and key.field in self._loader.given_up:
            raise KeysUnavailable(
                f"the keys of field {key.field} are lost, and were given up by `tokenvault keys"
                " accept`: use a field of another name for new values"
            )
        if found is None:
            raise KeysUnavailable("there is no key for this field yet; try again")
        return found

    def _find_version(
        self,
        table: Callable[[KeySnapshot], Mapping[KeyId, KeyVersions[K]]],
        key: KeyId,
        version: int,
    ) -> K:
        found = self._find(table, key).by_version.get(version)
        if found is None:
            self._catch_up(key, version)
            found = self._find(table, key).by_version.get(version)
        if found is None:
            raise DecryptionFailed
        return found

    def _catch_up(self, key: KeyId, version: int) -> None:
        """Loads a version that another server has made since the last load.

        A ciphertext can claim any version, so Postgres is asked once a second at most.
        """
        with self._loading:
            if (key, version) in self._current().fingerprints:
                return
            if self._clock() - self._last_catch_up < _CATCH_UP_INTERVAL:
                if (key, version) in self._stored:
                    raise KeysUnavailable("a new key version is not loaded yet; try again")
                return
            self._last_catch_up = self._clock()
            self._read()
            if (key, version) in self._stored:
                self.reload()

    def _read(self) -> list[DataKeyRecord]:
        records = self._loader.records()
        self._stored = _key_versions(records)
        return records

    def _wanted(self) -> list[KeyId]:
        fields = sorted(self._fields)
        pairs = [(field, purpose) for field in fields for purpose in (Purpose.FIELD, Purpose.INDEX)]
        keys = [KeyId(self._tenant, field, purpose) for field, purpose in pairs]
        return [*keys, KeyId(self._tenant, "", Purpose.AUDIT)]

    def _load(self) -> None:
        began = self._clock()
        opened = self._loader.load(self._wanted())
        self._stored = _key_versions(opened.records)
        try:
            self._snapshot = build_snapshot(
                opened.records,
                opened.roots,
                loaded=began,
                ends=began + self._lifetime,
                before=self._snapshot,
            )
        except ValueError:
            raise KeysUnavailable("data_keys holds a key that is not one of ours") from None

    def _rotate(self, key: KeyId, used_up: int, *, restored: bool) -> None:
        with self._loading:
            if self._find(lambda snapshot: snapshot.fields, key).active.version == used_up:
                versions = [each.version for each in self._read() if key_id(each) == key]
                # Another server may have rotated already; then loading is enough.
                if max(versions) == used_up:
                    self._loader.factory.add([(key, used_up + 1)], restored=restored)
                self.reload()
                _log.info(
                    "key_version_rotated", field=key.field, from_version=used_up, restored=restored
                )

    def _drop(self) -> None:
        self._snapshot = None
        _log.error("keys_ended", problem=self._problem)


def _key_versions(records: Iterable[DataKeyRecord]) -> frozenset[tuple[KeyId, int]]:
    return frozenset((key_id(record), record.version) for record in records)
