"""Reads the ``purposes`` section: what values may be read for, each with a description."""

from __future__ import annotations

from vault.policy.names import NAME, NAME_RULE
from vault.policy.reading.entry import Entry

__all__ = ["read_purposes"]

_LONGEST = 200


def read_purposes(entry: Entry) -> dict[str, str]:
    """Returns every purpose's description by name; what is wrong is recorded."""
    before = entry.problems
    named = entry.mapping()
    if not named and entry.problems == before:
        entry.fail("has no purpose: add at least one, or leave the key out")
    return {name: _read_description(name, each) for name, each in named.items()}


def _read_description(name: str, entry: Entry) -> str:
    if not NAME.fullmatch(name):
        entry.fail(f"a purpose's name {NAME_RULE}")
    text = entry.text()
    if text is None:
        return ""
    if not text.strip() or len(text) > _LONGEST or not text.isprintable():
        entry.fail(f"must be one line of 1 to {_LONGEST} characters that says what it is")
    return text
