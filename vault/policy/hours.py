"""Hours of the week in a time zone, by what the clock on the wall there shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

__all__ = ["MINUTES_A_DAY", "Hours", "Weekday"]

MINUTES_A_DAY = 1440


class Weekday(IntEnum):
    """The days as ``datetime.weekday`` numbers them."""

    MON = 0
    TUE = 1
    WED = 2
    THU = 3
    FRI = 4
    SAT = 5
    SUN = 6


@dataclass(frozen=True, slots=True)
class Hours:
    """From one minute of some days until another, the end left out.

    Where the end is not after the beginning, it is on the day after. When clocks are set
    forward, what would lie in the hour left out does not happen; when they are set back, the
    hour that comes twice counts twice.

    Attributes:
        days: on which the hours begin.
        begin: minute of the day, from 0.
        end: minute of the day, up to 1440.
        zone: name in the IANA time zone database.
    """

    days: frozenset[Weekday]
    begin: int
    end: int
    zone: str
    _zone: ZoneInfo = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", ZoneInfo(self.zone))

    def __str__(self) -> str:
        begin, end = (f"{each // 60:02}:{each % 60:02}" for each in (self.begin, self.end))
        return f"{_listed(self.days)} {begin}-{end} {self.zone}"

    def contain(self, moment: datetime) -> bool:
        """Returns whether an aware moment is within them."""
        local = moment.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        today = Weekday(local.weekday())
        if self.begin < self.end:
            return today in self.days and self.begin <= minute < self.end
        yesterday = Weekday((local.date() - timedelta(days=1)).weekday())
        return (today in self.days and minute >= self.begin) or (
            yesterday in self.days and minute < self.end
        )


def _listed(days: Iterable[Weekday]) -> str:
    return " ".join(day.name.lower() for day in sorted(days))
