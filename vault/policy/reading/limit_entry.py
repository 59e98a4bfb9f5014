"""Reads the ``limits`` section: how many values each principal may have worked on."""

from __future__ import annotations

from collections.abc import Mapping

from vault.model import Action
from vault.policy.limits import CountedBy, Limit, Quota
from vault.policy.model import Field
from vault.policy.reading.duration_entry import read_duration
from vault.policy.reading.entry import Entry, listed
from vault.policy.reading.name_lists import EVERY, read_actions, read_field_names
from vault.policy.roles import FIELDLESS

__all__ = ["read_limits"]

_KEYS = ("fields", "actions", "values", "per", "by")
_MAX_VALUES = 10**15
_LONGEST_DAYS = 366
_WITHOUT_VALUES = FIELDLESS | {Action.APPROVE_REVEAL}


def read_limits(entry: Entry, fields: Mapping[str, Field | None]) -> tuple[Limit, ...]:
    """Returns every limit, in file order; what is wrong is recorded.

    Args:
        fields: every field of the file by name; None for one that has a problem.
    """
    limits = [_read_limit(each, fields) for each in entry.items()]
    return tuple(limit for limit in limits if limit is not None)


def _read_limit(entry: Entry, fields: Mapping[str, Field | None]) -> Limit | None:
    entries = entry.section(frozenset(_KEYS), required=_KEYS)
    names = read_field_names(entries.get("fields"), fields)
    actions = read_actions(entries.get("actions"))
    without = actions & _WITHOUT_VALUES
    if without:
        entries["actions"].fail(f"{listed(without)}: works on no values: remove it")
    values = entries["values"].integer(1, _MAX_VALUES) if "values" in entries else None
    seconds = read_duration(entries["per"], _LONGEST_DAYS, "1h") if "per" in entries else None
    by = entries["by"].choice(CountedBy) if "by" in entries else None
    if values is None or seconds is None or by is None:
        return None
    return Limit(names - {EVERY}, actions, Quota(seconds, values), by, entry.line)
