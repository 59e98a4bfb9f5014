"""Data keys that are not as the manifest has them: which, what is wrong, and what to do.

A key made in the place of a lost one would read other values from the tokens there are, give
known values second tokens, and seem to succeed. So no key is made and none is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vault.keys.manifest import KeyVersion, ListedKey
from vault.keys.snapshot import KeyId
from vault.keys.unwrap_failures import StoredKeysWrong

__all__ = [
    "DataKeysMismatch",
    "KeyMismatch",
    "ManifestMismatch",
    "MismatchKind",
    "StoredKey",
    "compare",
    "inactive",
]

_SHOWN = 3
_REMEDY = (
    "No key is made in its place and none is loaded. Put data_keys and key_manifest back from a "
    "backup (docs/operations.md, Lost key rows)"
)


class MismatchKind(StrEnum):
    """What is wrong with a key's row; the text is for an operator."""

    MISSING = "its row is missing from data_keys"
    USED = "its row is missing from data_keys, and the field (or the audit) has been used"
    HALF = "its row is missing from data_keys, and other keys made with it are there"
    OTHER = "its row in data_keys holds another key than before"
    FLAGGED = "its row in data_keys has another flag `restored` than before"
    INACTIVE = "it is the highest version, and its row in data_keys is not the active one"


@dataclass(frozen=True, slots=True)
class KeyMismatch:
    """A key that is not as it must be."""

    key_version: KeyVersion
    kind: MismatchKind


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What a row of ``data_keys`` holds, opened."""

    listed: ListedKey
    active: bool


class DataKeysMismatch(StoredKeysWrong):
    """Rows of ``data_keys`` are gone, or are others than before.

    Attributes:
        mismatches: one for each key, ordered.
    """

    def __init__(self, mismatches: Iterable[KeyMismatch]) -> None:
        self.mismatches = tuple(
            sorted(set(mismatches), key=lambda each: (each.key_version, each.kind.name))
        )
        problems = "; ".join(
            f"{_names(versions)}: {kind.value}" for kind, versions in self._by_kind()
        )
        super().__init__(f"data keys are lost ({problems}). {_REMEDY}")

    def lines(self) -> Sequence[str]:
        """Returns a line for each key."""
        return [f"data key {each.key_version}: {each.kind.value}" for each in self.mismatches]

    def _by_kind(self) -> Iterator[tuple[MismatchKind, Sequence[KeyVersion]]]:
        for kind in MismatchKind:
            versions = [each.key_version for each in self.mismatches if each.kind is kind]
            if versions:
                yield kind, versions


class ManifestMismatch(StoredKeysWrong):
    """The key manifest is not what a server wrote, or not the one this server has seen."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the key manifest was {what}. {_REMEDY}")


def compare(
    listed: Mapping[KeyVersion, ListedKey], stored: Mapping[KeyVersion, StoredKey]
) -> Iterator[KeyMismatch]:
    """Yields what is wrong with the stored keys, where each listed one must be among them."""
    for key_version, key in listed.items():
        found = stored.get(key_version)
        if found is None:
            yield KeyMismatch(key_version, MismatchKind.MISSING)
        elif found.listed.check != key.check:
            yield KeyMismatch(key_version, MismatchKind.OTHER)
        elif found.listed.restored != key.restored:
            yield KeyMismatch(key_version, MismatchKind.FLAGGED)


def inactive(stored: Mapping[KeyVersion, StoredKey]) -> Iterator[KeyMismatch]:
    """Yields each key whose highest version is not the active one."""
    highest: dict[KeyId, int] = {}
    for key_version in stored:
        highest[key_version.key] = max(key_version.version, highest.get(key_version.key, 0))
    for key_version in map(KeyVersion._make, highest.items()):
        if not stored[key_version].active:
            yield KeyMismatch(key_version, MismatchKind.INACTIVE)


def _names(versions: Sequence[KeyVersion]) -> str:
    names = [str(each) for each in versions[:_SHOWN]]
    if len(versions) > _SHOWN:
        names.append(f"and {len(versions) - _SHOWN} more")
    return ", ".join(names)
