"""Lists of names in the policy file: fields, roles and actions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vault.model import Action
from vault.policy.model import Field
from vault.policy.reading.entry import Entry, did_you_mean, quoted
from vault.policy.reading.reserved_names import Place, reserved_names

__all__ = ["EVERY", "read_actions", "read_field_names", "read_names"]

EVERY = "*"
"""Stands for every field of the policy, those added later too."""


def read_names(entry: Entry | None, known: Collection[str], noun: str) -> frozenset[str]:
    """Returns the names of a list, refusing unknown and repeated ones."""
    names: set[str] = set()
    for each in entry.items() if entry else ():
        name = each.text()
        if name is None:
            continue
        if name not in known:
            each.fail(f"there is no {noun} {quoted(name)}{did_you_mean(name, known)}")
        if name in names:
            each.fail(f"this {noun} is in the list twice: keep one of them")
        names.add(name)
    return frozenset(names)


def read_actions(entry: Entry | None) -> frozenset[Action]:
    """Returns the actions of a list, refusing those that are unknown or not built yet."""
    items = entry.items() if entry else ()
    chosen = [each.choice(Action, reserved=reserved_names(Place.ACTION)) for each in items]
    return frozenset(action for action in chosen if action is not None)


def read_field_names(entry: Entry | None, fields: Mapping[str, Field | None]) -> frozenset[str]:
    """Returns the fields named, with ``*`` kept beside every field that it stands for."""
    if entry is None:
        return frozenset()
    names = read_names(entry, {*fields, EVERY}, "field")
    if EVERY not in names:
        return names
    if len(names) > 1:
        entry.fail("'*' is every field already: remove the names beside it")
    return frozenset({*fields, EVERY})
