"""Reads a budget: how many values in a window of time, for one window or several."""

from __future__ import annotations

from vault.policy.budgets import Budget
from vault.policy.limits import Quota
from vault.policy.reading.duration_entry import read_duration
from vault.policy.reading.entry import Entry

__all__ = ["read_budget"]

_MAX_VALUES = 10**15
_LONGEST_DAYS = 366


def read_budget(entry: Entry | None) -> Budget:
    """Returns the quotas of a budget, the shortest window first; what is wrong is recorded."""
    if entry is None:
        return ()
    found: dict[int, Quota] = {}
    for each in [entry] if entry.is_mapping() else entry.items():
        quota = _read_quota(each)
        if quota is not None and quota.seconds in found:
            each.fail("there is a window of this length already: keep one of them")
        elif quota is not None:
            found[quota.seconds] = quota
    return tuple(found[seconds] for seconds in sorted(found))


def _read_quota(entry: Entry) -> Quota | None:
    entries = entry.section(("values", "per"), required=("values", "per"))
    values = entries["values"].integer(1, _MAX_VALUES) if "values" in entries else None
    seconds = read_duration(entries["per"], _LONGEST_DAYS, "1h") if "per" in entries else None
    return None if values is None or seconds is None else Quota(seconds, values)
