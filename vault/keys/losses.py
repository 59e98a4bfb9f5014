"""Data keys that are lost: which they are, what is wrong with them, and what to do.

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

__all__ = ["KeysLost", "Loss", "LostKey", "ManifestLost", "StoredKey", "compare", "inactive"]

_SHOWN = 3
_REMEDY = (
    "No key is made in its place and none is loaded. Put data_keys and key_manifest back from a "
    "backup (docs/operations.md, Lost key rows)"
)


class Loss(StrEnum):
    """What is wrong with a key's row; the text is for an operator."""

    MISSING = "its row is missing from data_keys"
    USED = "its row is missing from data_keys, and the field (or the audit) has been used"
    HALF = "its row is missing from data_keys, and other keys made with it are there"
    OTHER = "its row in data_keys holds another key than before"
    MARKED = "its row in data_keys has another mark `restored` than before"
    INACTIVE = "it is the highest version, and its row in data_keys is not the active one"


@dataclass(frozen=True, slots=True)
class LostKey:
    """A key that is not as it must be."""

    place: KeyVersion
    loss: Loss


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What a row of ``data_keys`` holds, opened."""

    listed: ListedKey
    active: bool


class KeysLost(StoredKeysWrong):
    """Rows of ``data_keys`` are gone, or are others than before.

    Attributes:
        lost: one for each key, ordered.
    """

    def __init__(self, lost: Iterable[LostKey]) -> None:
        self.lost = tuple(sorted(set(lost), key=lambda each: (each.place, each.loss.name)))
        problems = "; ".join(f"{_names(places)}: {loss.value}" for loss, places in self._by_loss())
        super().__init__(f"data keys are lost ({problems}). {_REMEDY}")

    def lines(self) -> Sequence[str]:
        """Returns a line for each key."""
        return [f"data key {each.place}: {each.loss.value}" for each in self.lost]

    def _by_loss(self) -> Iterator[tuple[Loss, Sequence[KeyVersion]]]:
        for loss in Loss:
            places = [each.place for each in self.lost if each.loss is loss]
            if places:
                yield loss, places


class ManifestLost(StoredKeysWrong):
    """The key manifest is not what a server wrote, or not the one this server has seen."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the key manifest was {what}. {_REMEDY}")


def compare(
    listed: Mapping[KeyVersion, ListedKey], stored: Mapping[KeyVersion, StoredKey]
) -> Iterator[LostKey]:
    """Yields what is wrong with the stored keys, where each listed one must be among them."""
    for place, key in listed.items():
        found = stored.get(place)
        if found is None:
            yield LostKey(place, Loss.MISSING)
        elif found.listed.check != key.check:
            yield LostKey(place, Loss.OTHER)
        elif found.listed.restored != key.restored:
            yield LostKey(place, Loss.MARKED)


def inactive(stored: Mapping[KeyVersion, StoredKey]) -> Iterator[LostKey]:
    """Yields each key whose highest version is not the active one."""
    highest: dict[KeyId, int] = {}
    for place in stored:
        highest[place.key] = max(place.version, highest.get(place.key, 0))
    for place in map(KeyVersion._make, highest.items()):
        if not stored[place].active:
            yield LostKey(place, Loss.INACTIVE)


def _names(places: Sequence[KeyVersion]) -> str:
    names = [str(place) for place in places[:_SHOWN]]
    if len(places) > _SHOWN:
        names.append(f"and {len(places) - _SHOWN} more")
    return ", ".join(names)
