"""Reads JSON from an untrusted writer: returns a document, or raises ValueError.

Python's parser alone also raises RecursionError, accepts NaN and infinity, and takes
the last of two equal names, where a person may read the first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["read_count", "read_json"]

_BIGGEST = 2**63 - 1


def read_json(text: str) -> object:
    """Parses a JSON text. Raises ValueError, whatever is wrong with it."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    except RecursionError:
        pass
    raise ValueError("nested too deeply")


def read_count(value: object, *, least: int = 0) -> int:
    """Returns a number that fits Postgres's bigint. Raises ValueError, for booleans too."""
    if type(value) is not int or not least <= value <= _BIGGEST:
        raise ValueError("not a number in its range")
    return value


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")
