"""Reads the ``freezes`` section: after how many touches of honey tokens a caller is frozen."""

from __future__ import annotations

from collections.abc import Collection

from vault.policy.freezes import FreezeRule
from vault.policy.reading.duration_entry import read_duration
from vault.policy.reading.entry import Entry, quoted
from vault.policy.reading.name_lists import read_names

__all__ = ["MAX_TOUCHES", "read_freezes"]

MAX_TOUCHES = 1000
"""As many times of touches are kept of a caller."""

_KEYS = frozenset({"roles", "touches", "per"})
_LONGEST_DAYS = 366


def read_freezes(entry: Entry, roles: Collection[str]) -> tuple[FreezeRule, ...]:
    """Returns every rule, in file order; what is wrong is recorded."""
    rules: list[FreezeRule] = []
    named: set[str] = set()
    for each in entry.items():
        rule = _read_rule(each, roles)
        if rule is None:
            continue
        again = named & rule.roles
        if again:
            each.fail(f"the role {quoted(min(again))} has an entry already: keep one of them")
        if not rule.roles and any(not other.roles for other in rules):
            each.fail("there is an entry without roles already: keep one of them")
        named |= rule.roles
        rules.append(rule)
    return tuple(rules)


def _read_rule(entry: Entry, roles: Collection[str]) -> FreezeRule | None:
    entries = entry.section(_KEYS, required=("touches",))
    names = read_names(entries.get("roles"), roles, "role")
    if "roles" in entries and not names:
        entries["roles"].fail("name a role, or leave the key out")
    touches = entries["touches"].integer(1, MAX_TOUCHES) if "touches" in entries else None
    seconds = read_duration(entries["per"], _LONGEST_DAYS, "1d") if "per" in entries else 0
    if touches is None or seconds is None:
        return None
    if (touches > 1) != (seconds > 0):
        entry.fail(
            "several touches need a time within which they count: add per"
            if touches > 1
            else "a single touch freezes whenever it comes: remove per"
        )
    return FreezeRule(touches, seconds, names, entry.line)
