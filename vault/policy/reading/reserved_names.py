"""Names of the policy language that this release refuses: they are not built yet.

Each is refused by its name, so that nobody believes it is in force. What gets built leaves
the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

__all__ = ["Place", "reserved_names"]


class Place(Enum):
    """Where in the file a name is refused: a key of a section, or a value."""

    FILE = auto()
    FIELD = auto()
    RULE = auto()
    SCOPE = auto()
    ACTION = auto()


# The refusal says what leaving the key out means.
_TABLE: tuple[tuple[str, tuple[Place, ...], str], ...] = (
    ("subject", (Place.SCOPE,), ""),
    ("session", (Place.SCOPE,), ""),
    ("manage_keys", (Place.ACTION,), ""),
    ("redact", (Place.ACTION,), ""),
    ("restore", (Place.ACTION,), ""),
    ("retokenize", (Place.ACTION,), ""),
)
_BY_PLACE = {
    place: MappingProxyType({name: text for name, places, text in _TABLE if place in places})
    for place in Place
}


def reserved_names(place: Place) -> Mapping[str, str]:
    """Returns the names refused there, each with what leaving it out means."""
    return _BY_PLACE[place]
