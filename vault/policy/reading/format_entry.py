"""Reads a field's format: its name and the options that stand beside it.

Which options there are and how each is read is up to the formats; only where they stand in
a field is known here.
"""

from __future__ import annotations

from collections.abc import Mapping

from vault.formats import (
    FORMATS,
    OPTIONS,
    Format,
    FormatOptionError,
    OptionValue,
    build_format,
    options_of,
)
from vault.policy.reading.entry import Entry

__all__ = ["OPTION_KEYS", "read_format"]

_ALPHABET, _TEMPLATE = "alphabet", "template"
# These name their format, as in ``format: {alphabet: digits}``, and stand nowhere else.
_WITHIN_FORMAT = frozenset({_ALPHABET, _TEMPLATE})
_KEYS = {
    name: each.key.partition(".") for name, each in OPTIONS.items() if name not in _WITHIN_FORMAT
}

OPTION_KEYS = frozenset(key for key, _, _ in _KEYS.values())
"""Keys of a field that are options of its format, or sections of them as ``keep``."""


def read_format(entries: Mapping[str, Entry]) -> tuple[str, Format | None]:
    """Returns the format's name and the format, or None after a problem."""
    at = entries.get("format")
    if at is None:
        return "", None
    before = at.problems
    name, places = _places(at, entries)
    values = _values(name, places)
    if at.problems > before:
        return name, None
    try:
        return name, build_format(name, **values)
    except FormatOptionError as error:
        places.get(error.option, at).fail(error.message)
        return name, None


def _places(at: Entry, entries: Mapping[str, Entry]) -> tuple[str, dict[str, Entry]]:
    """Returns the format's name, and for each format option the entry that sets it."""
    places = _beside_format(entries)
    if not at.is_mapping():
        return at.one_of({name: name for name in FORMATS}) or "", places
    if _TEMPLATE in at.mapping():
        return _TEMPLATE, places | at.section({_TEMPLATE})
    for key, each in at.section({_ALPHABET, "min", "max"}, required=(_ALPHABET,)).items():
        if key in places:
            each.fail(f"{key!r} is also set beside 'format': keep one of them")
        places[key] = each
    return _ALPHABET, places


def _beside_format(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Returns the entries of a field that set options, by option, in file order."""
    places: dict[str, Entry] = {}
    for key in (key for key in entries if key in OPTION_KEYS):
        parts = {part: name for name, (of, _, part) in _KEYS.items() if of == key}
        if "" in parts:
            places[parts[""]] = entries[key]
        else:
            section = entries[key].section(parts.keys())
            places |= {parts[part]: each for part, each in section.items()}
    return places


def _values(name: str, places: Mapping[str, Entry]) -> dict[str, OptionValue]:
    """Returns the options that are set, each as its format reads it."""
    options = options_of(name)
    return {option: options[option].read(entry) for option, entry in places.items()}
