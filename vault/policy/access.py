"""Reads the ``roles`` and ``principals`` sections: who may do what."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from vault.model import Action, Principal
from vault.policy.entry import Entry, did_you_mean, listed, quoted
from vault.policy.fields import NAME, NAME_RULE
from vault.policy.model import Field
from vault.policy.roles import FIELDLESS, VIEWED, Binding, Role, Rule
from vault.policy.views import FULL, RESERVED

__all__ = ["EVERY", "read_principals", "read_roles"]

EVERY = "*"
"""Stands for every field of the policy, those added later too."""

_RULE_KEYS = frozenset({"fields", "allow", "deny", "view"})
_UNBUILT_RULE_KEYS = {
    "purposes": "without it a call needs no purpose",
    "approvals": "without it a call needs no approval",
    "grant_ttl": "without it access does not end by itself",
    "budget": "without it nothing limits how many values a caller may read",
    "limits": "without it nothing limits how many values a caller may ask for",
}
_UNBUILT_ACTIONS = frozenset(
    {
        "approve_reveal",
        "erase",
        "explain_others",
        "manage_keys",
        "redact",
        "request_reveal",
        "restore",
        "retokenize",
    }
)
# SPIFFE-ID specification, section 2: trust domain, then a path without empty, . and .. segments.
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+")
_SPIFFE_LENGTH = 2048


def read_roles(entry: Entry, fields: Mapping[str, Field | None]) -> dict[str, Role]:
    """Returns every role by name; what is wrong is recorded.

    Args:
        fields: every field of the file by name; None for one that has a problem.
    """
    roles: dict[str, Role] = {}
    for name, each in entry.named().items():
        if not NAME.fullmatch(name):
            each.fail(f"a role's name {NAME_RULE}")
        rules = tuple(_read_rule(rule, fields) for rule in each.items())
        roles[name] = Role(name, rules, each.line)
    return roles


def read_principals(entry: Entry, roles: Collection[str]) -> tuple[Binding, ...]:
    """Returns who holds which of the given roles; what is wrong is recorded."""
    bindings: dict[Principal, Binding] = {}
    for each in entry.items():
        entries = each.section(
            {"spiffe", "roles"},
            required=("spiffe", "roles"),
            unbuilt={"jwt": "only mTLS callers with a SPIFFE ID are known so far"},
        )
        at = entries.get("spiffe")
        principal = _read_spiffe(at) if at else None
        held = _read_names(entries.get("roles"), roles, "role")
        if at is None or principal is None:
            continue
        if principal in bindings:
            at.fail("this principal is here twice: list all of its roles in one place")
        bindings[principal] = Binding(principal, tuple(sorted(held)), each.line)
    return tuple(bindings.values())


def _read_spiffe(entry: Entry) -> Principal | None:
    text = entry.text()
    if text is None:
        return None
    if len(text) > _SPIFFE_LENGTH or not _SPIFFE.fullmatch(text):
        entry.fail("must be a SPIFFE ID with a path, such as spiffe://example.org/etl")
        return None
    return Principal("spiffe", text)


def _read_names(entry: Entry | None, known: Collection[str], noun: str) -> frozenset[str]:
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


def _read_rule(entry: Entry, fields: Mapping[str, Field | None]) -> Rule:
    before = entry.problems
    entries = entry.section(_RULE_KEYS, unbuilt=_UNBUILT_RULE_KEYS)
    allow = _read_actions(entries.get("allow"))
    deny = _read_actions(entries.get("deny"))
    names = _read_field_names(entries.get("fields"), fields)
    view_at = entries.get("view")
    view = view_at.text() if view_at else None
    rule = Rule(names - {EVERY}, EVERY in names, allow, deny, view or "")
    if entry.problems == before:
        _check_actions(entry, entries, rule)
        _check_view(entry, view_at, rule, fields)
    return rule


def _read_actions(entry: Entry | None) -> frozenset[Action]:
    items = entry.items() if entry else ()
    chosen = [each.choice(Action, unbuilt=_UNBUILT_ACTIONS) for each in items]
    return frozenset(action for action in chosen if action is not None)


def _read_field_names(entry: Entry | None, fields: Mapping[str, Field | None]) -> frozenset[str]:
    """Returns the fields named, with ``*`` kept beside every field that it stands for."""
    if entry is None:
        return frozenset()
    names = _read_names(entry, {*fields, EVERY}, "field")
    if EVERY not in names:
        return names
    if len(names) > 1:
        entry.fail("'*' is every field already: remove the names beside it")
    return frozenset({*fields, EVERY})


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
        view_at.fail("only a rule that allows detokenize or decrypt has a view: remove it")
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
