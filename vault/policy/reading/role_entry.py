"""Reads the ``roles`` section: what a role may do."""

from __future__ import annotations

from collections.abc import Mapping

from vault.model import Action
from vault.policy.model import Field
from vault.policy.reading.approval_entries import check_rule
from vault.policy.reading.condition_entries import (
    CONDITION_KEYS,
    check_conditions,
    read_conditions,
)
from vault.policy.reading.entry import Entry, did_you_mean, listed
from vault.policy.reading.field_entry import NAME, NAME_RULE
from vault.policy.reading.name_lists import EVERY, read_actions, read_field_names
from vault.policy.reading.reserved_names import Place, reserved_names
from vault.policy.roles import FIELDLESS, VIEWED, Role, Rule
from vault.policy.views import FULL, RESERVED

__all__ = ["read_roles"]

_RULE_KEYS = frozenset({"fields", "allow", "deny", "view"}) | CONDITION_KEYS


def read_roles(
    entry: Entry, fields: Mapping[str, Field | None], purposes: Mapping[str, str] | None = None
) -> dict[str, Role]:
    """Returns every role by name; what is wrong is recorded.

    Args:
        fields: every field of the file by name; None for one that has a problem.
        purposes: those that the file describes, or None where it describes none.
    """
    roles: dict[str, Role] = {}
    for name, each in entry.mapping().items():
        if not NAME.fullmatch(name):
            each.fail(f"a role's name {NAME_RULE}")
        rules = tuple(_read_rule(rule, fields, purposes) for rule in each.items())
        roles[name] = Role(name, rules, each.line)
    return roles


def _read_rule(
    entry: Entry, fields: Mapping[str, Field | None], purposes: Mapping[str, str] | None
) -> Rule:
    before = entry.problems
    entries = entry.section(_RULE_KEYS, reserved=reserved_names(Place.RULE))
    allow = read_actions(entries.get("allow"))
    deny = read_actions(entries.get("deny"))
    names = read_field_names(entries.get("fields"), fields)
    view_at = entries.get("view")
    view = view_at.text() if view_at else None
    rule = Rule(
        fields=names - {EVERY},
        every=EVERY in names,
        allow=allow,
        deny=deny,
        view=view or "",
        line=entry.line,
        conditions=read_conditions(entries, purposes),
    )
    if entry.problems == before:
        _check_actions(entry, entries, rule)
        _check_view(entry, view_at, rule, fields)
        check_conditions(entries, allow, deny)
        check_rule(entry, entries, rule)
    return rule


def _check_actions(entry: Entry, entries: Mapping[str, Entry], rule: Rule) -> None:
    actions = rule.allow | rule.deny
    if not actions:
        entry.fail("neither allows nor denies anything: add 'allow' or 'deny'")
    for action in sorted(rule.allow & rule.deny):
        entries["deny"].fail(f"{action} is allowed and denied by the same rule: keep one of them")
    fieldless = actions & FIELDLESS
    if fieldless and (fieldless != actions or "fields" in entries):
        entry.fail(
            f"{listed(fieldless)}: no field is concerned, so this takes a rule of its own, "
            "without 'fields'"
        )
    elif actions and not fieldless and "fields" not in entries:
        entry.fail(f"has no 'fields', which {listed(actions)} need: name them, or say ['*']")


def _check_view(
    entry: Entry, view_at: Entry | None, rule: Rule, fields: Mapping[str, Field | None]
) -> None:
    viewed = rule.allow & VIEWED
    if view_at is None:
        if viewed:
            entry.fail(f"has no 'view', which {listed(viewed)} needs; {_known_views(rule, fields)}")
    elif not viewed:
        view_at.fail(
            "only a rule that allows detokenize, decrypt or request_reveal has a view: remove it"
        )
    elif Action.DECRYPT in viewed and rule.view != FULL:
        view_at.fail("decrypt answers whole values: its view is full")
    elif rule.view not in RESERVED:
        found = ((name, fields[name]) for name in sorted(rule.fields))
        without = [name for name, field in found if field and rule.view not in field.views]
        if without:
            view_at.fail(
                f"not a view of {listed(without)}{did_you_mean(rule.view, _views(rule, fields))}; "
                f"{_known_views(rule, fields)}"
            )


def _views(rule: Rule, fields: Mapping[str, Field | None]) -> set[str]:
    """Returns the views that every field of the rule has."""
    own = [set(field.views) for name in rule.fields if (field := fields[name]) is not None]
    return set(RESERVED).union(set.intersection(*own) if own else ())


def _known_views(rule: Rule, fields: Mapping[str, Field | None]) -> str:
    return f"allowed: {listed(_views(rule, fields))}"
