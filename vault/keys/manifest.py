"""The key manifest: the list of the data keys that there must be, under a MAC.

``data_keys`` alone does not show whether a key was lost or never was. So every version of
every key is listed, with its key check value, before it is used; a row that is
missing, or holds another key, is then a loss and not a reason to make one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vault.crypto.encoding import length_prefixed, utf8
from vault.crypto.field_key import MacKey
from vault.keys.snapshot import KeyId, Purpose
from vault.service.ports import KeyManifest

__all__ = ["KeyVersion", "ListedKey", "Manifest", "fields_given_up", "read_manifest"]

_LABEL = b"tokenvault/v1/key-manifest"
_VERSION = 1


class KeyVersion(NamedTuple):
    """One version of one key."""

    key: KeyId
    version: int

    def __str__(self) -> str:
        return f"{self.key.field or self.key.tenant} {self.key.purpose} version {self.version}"


class ListedKey(NamedTuple):
    """What a key must be.

    Attributes:
        check: its key check value.
        restored: begun by a restore: what makes tokens stays with the version before.
    """

    check: bytes
    restored: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation of the list. Each has all keys of the one before.

    Attributes:
        number: of the generation, from 1; 0 before the first.
        later: entries of purposes that only a later release has, kept as they are.
        given_up: fields whose keys an operator gave up. What they were stays
            listed.
    """

    tenant: str
    number: int = 0
    keys: Mapping[KeyVersion, ListedKey] = field(default_factory=dict)
    later: Sequence[Mapping[str, object]] = ()
    given_up: Set[str] = frozenset()

    def next(
        self, stored: Mapping[KeyVersion, ListedKey], given_up: Set[str] | None = None
    ) -> Manifest:
        """Returns the next generation: what is stored, and what was listed of fields given up."""
        gone = self.given_up if given_up is None else frozenset(given_up)
        kept = {each: key for each, key in self.keys.items() if each.key.field in gone}
        return replace(self, number=self.number + 1, keys={**kept, **stored}, given_up=gone)

    def without(self, fields: Set[str]) -> Mapping[KeyVersion, ListedKey]:
        """Returns the keys but those of some fields."""
        return {each: key for each, key in self.keys.items() if each.key.field not in fields}

    def audit_version(self) -> int:
        """Returns the highest version of the audit key that is listed."""
        return max(each.version for each in self.keys if each.key.purpose is Purpose.AUDIT)

    def authenticated(self, audit_key: MacKey) -> KeyManifest:
        """Returns the row to be stored."""
        listed = [
            {
                "field": key_version.key.field,
                "purpose": key_version.key.purpose.value,
                "version": key_version.version,
                "restored": key.restored,
                "check": key.check.hex(),
            }
            for key_version, key in sorted(self.keys.items())
        ]
        content: dict[str, object] = {"v": _VERSION, "keys": [*listed, *self.later]}
        if self.given_up:
            content["given_up"] = sorted(self.given_up)
        document = json.dumps(content, sort_keys=True, separators=(",", ":"))
        mac = audit_key.mac(_message(self.tenant, self.number, audit_key.version, document))
        return KeyManifest(self.tenant, self.number, document, audit_key.version, mac)


def read_manifest(row: KeyManifest, audit_key: MacKey) -> Manifest | None:
    """Reads a stored generation, None where a server did not write it as it is."""
    message = _message(row.tenant, row.number, row.key_version, row.document)
    if not audit_key.verify(message, row.mac):
        return None
    content = json.loads(row.document)
    entries = content["keys"]
    ours = [each for each in entries if each["purpose"] in set(Purpose)]
    keys = {
        KeyVersion(KeyId(row.tenant, each["field"], Purpose(each["purpose"])), each["version"]): (
            ListedKey(bytes.fromhex(each["check"]), each["restored"])
        )
        for each in ours
    }
    later = tuple(each for each in entries if each not in ours)
    given_up = frozenset(content.get("given_up", ()))
    return Manifest(row.tenant, row.number, keys, later, given_up)


def fields_given_up(row: KeyManifest | None) -> Set[str]:
    """Reads which fields a row gives up, before its MAC can be verified.

    The keys of such fields need not open, and the MAC's key is among those that must.
    """
    try:
        match json.loads(row.document) if row is not None else None:
            case {"given_up": [*fields]}:
                return {field for field in fields if isinstance(field, str) and field}
    except (ValueError, RecursionError):
        pass
    return frozenset()


def _message(tenant: str, number: int, key_version: int, document: str) -> bytes:
    return length_prefixed(
        _LABEL, utf8(tenant), _int64(number), _int64(key_version), utf8(document)
    )


def _int64(number: int) -> bytes:
    # Signed: a tampered row may hold any bigint, and must fail its MAC, not its encoding.
    return number.to_bytes(8, signed=True)
