"""Reads the hours of a rule: days, from when until when, and in which time zone."""

from __future__ import annotations

import re
from functools import cache
from zoneinfo import available_timezones

from vault.policy.hours import MINUTES_A_DAY, Hours, Weekday
from vault.policy.reading.entry import Entry, did_you_mean, quoted

__all__ = ["read_hours"]

_KEYS = ("days", "from", "to", "zone")
_DAYS = {day.name.lower(): day for day in Weekday}
_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
# What the host that reads it has, not what the name says everywhere.
_OF_THE_HOST = frozenset({"localtime", "Factory", "posixrules"})


def read_hours(entry: Entry) -> Hours | None:
    """Returns the hours; what is wrong is recorded."""
    before = entry.problems
    entries = entry.section(_KEYS, required=_KEYS)
    days = _read_days(entries["days"]) if "days" in entries else frozenset()
    begin = _read_time(entries["from"], MINUTES_A_DAY - 1) if "from" in entries else None
    end = _read_time(entries["to"], MINUTES_A_DAY) if "to" in entries else None
    zone = _read_zone(entries["zone"]) if "zone" in entries else None
    if begin is not None and begin == end:
        entry.fail("'from' and 'to' are one minute, so these hours never are: set one of them")
    if begin is None or end is None or zone is None or entry.problems > before:
        return None
    return Hours(days, begin, end, zone)


def _read_days(entry: Entry) -> frozenset[Weekday]:
    found: set[Weekday] = set()
    for each in entry.items():
        day = each.one_of(_DAYS)
        if day in found:
            each.fail("this day is in the list twice: keep one of them")
        if day is not None:
            found.add(day)
    return frozenset(found)


def _read_time(entry: Entry, latest: int) -> int | None:
    text = entry.text()
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match else MINUTES_A_DAY + 1
    if minute > latest:
        last = f"{latest // 60:02}:{latest % 60:02}"
        entry.fail(f"must be a time of day in quotes, from '00:00' to '{last}'")
        return None
    return minute


def _read_zone(entry: Entry) -> str | None:
    name = entry.text()
    if name is None:
        return None
    if name not in _zones():
        entry.fail(
            f"there is no time zone {quoted(name)}{did_you_mean(name, _zones())}; names are those "
            "of the IANA database, such as Europe/Berlin or UTC"
        )
        return None
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _OF_THE_HOST
