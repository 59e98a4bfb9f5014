"""Calendar dates: year, month and day in one order, with a window of days.

A token is a date of the same window in the same separators. FPE needs a window of exactly a
million days, as 0600-01-01 to 3337-11-27: that is what six digits encipher.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.errors import FormatError
from vault.formats.base.contract import (
    Parsed,
    Plan,
    RandomPlan,
    not_in_format,
    too_long,
    too_short,
)
from vault.formats.base.layout import HYPHENS, SPACES, Layout, apply_layout
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_one_of,
    read_text,
)
from vault.formats.base.random_choice import random_number_plan
from vault.model import Generator, Storage

__all__ = ["Date", "DateOptions"]

DateOrder = Literal["ymd", "dmy", "mdy"]
_ORDERS: tuple[DateOrder, ...] = ("ymd", "dmy", "mdy")

_SHORTEST_TEXT, _LONGEST_TEXT = 8, 15
_WINDOW_DIGITS = 6
_WINDOW = 10**_WINDOW_DIGITS
_EARLIEST = datetime.date(600, 1, 1)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGITS = NAMED_ALPHABETS["digits"]
# In a core, stands for the leading zero that was left out of a month or a day.
_LEFT_OUT = "\x1f"
_YEAR, _SHORT = "([0-9]{4})", "([0-9]{1,2})"
# Around a separator there may be a space on either side, as in 29. 3. 1982; a date with dots may
# end in one, as in 1982. 03. 29.
_GAP = f"([{SPACES}]?[/.{HYPHENS}][{SPACES}]?|[{SPACES}]|)"
_SAME_GAP = r"\2"
_TEXTS: Mapping[DateOrder, re.Pattern[str]] = {
    "ymd": re.compile(_YEAR + _GAP + _SHORT + _SAME_GAP + _SHORT + r"(\.?)"),
    "dmy": re.compile(_SHORT + _GAP + _SHORT + _SAME_GAP + _YEAR + r"(\.?)"),
    "mdy": re.compile(_SHORT + _GAP + _SHORT + _SAME_GAP + _YEAR + r"(\.?)"),
}
# Where the year, the month and the day are in a core of eight characters.
_PLACES: Mapping[DateOrder, tuple[slice, slice, slice]] = {
    "ymd": (slice(0, 4), slice(4, 6), slice(6, 8)),
    "dmy": (slice(4, 8), slice(2, 4), slice(0, 2)),
    "mdy": (slice(4, 8), slice(0, 2), slice(2, 4)),
}
_NAMES: Mapping[DateOrder, str] = {
    "ymd": "year, month, day",
    "dmy": "day, month, year",
    "mdy": "month, day, year",
}


@dataclass(frozen=True, slots=True)
class DateOptions(FormatOptions):
    """What a policy may say about ``date``.

    Attributes:
        order: order of year, month and day.
        earliest: first date of values and tokens, as YYYY-MM-DD.
        latest: last date of values and tokens, as YYYY-MM-DD.
    """

    order: DateOrder | None = option(read_one_of(*_ORDERS))
    earliest: str | None = option(read_text)
    latest: str | None = option(read_text)


class Date:
    """The format ``date``."""

    name = "date"
    generators = frozenset(Generator)
    storages = frozenset({Storage.VAULTED})
    parts = ("year", "month", "day")

    def __init__(self, options: DateOptions) -> None:
        self._order: DateOrder = options.order or "ymd"
        if self._order not in _TEXTS:
            raise FormatOptionError("order", "order is ymd, dmy or mdy")
        self._year, self._month, self._day = _PLACES[self._order]
        self._text = _TEXTS[self._order]
        self._first, self._last = _window(options)
        self._ends = (2, 4) if self._order != "ymd" else (4, 6)

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {
            "rules": 1,
            "order": self._order,
            "earliest": self._first.isoformat(),
            "latest": self._last.isoformat(),
        }

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return (self._last - self._first).days + 1

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        if storage is not Storage.VAULTED:
            return "format date takes storage vaulted only"
        days = self.effective_domain(generator, storage)
        if generator is not Generator.RANDOM and days != _WINDOW:
            return (
                f"{generator.value} needs a window of exactly {_WINDOW:,} days: leave 'latest' "
                "out, or use generator random"
            )
        return None

    def parse(self, text: str) -> Parsed:
        match = self._text.fullmatch(text)
        if match is None:
            raise self._fault(text)
        one, gap, two, three, last = match.groups()
        if (not gap and len(text) != _SHORTEST_TEXT) or (last and "." not in gap):
            raise self._fault(text)
        core = f"{one:{_LEFT_OUT}>2}{two:{_LEFT_OUT}>2}{three:{_LEFT_OUT}>2}"
        if not self._first <= self._date(core) <= self._last:
            raise not_in_format(f"the field has dates from {self._first} to {self._last}")
        return Parsed(core, _layout(self._ends, gap, last))

    def parse_token(self, text: str) -> Parsed:
        parsed = self.parse(text)
        if _LEFT_OUT in parsed.core:
            raise not_in_format("a date token has months and days of two digits")
        return parsed

    def _date(self, core: str) -> datetime.date:
        digits = core.replace(_LEFT_OUT, "0")
        try:
            return datetime.date(
                int(digits[self._year]), int(digits[self._month]), int(digits[self._day])
            )
        except ValueError:
            # The cause may quote the value.
            raise not_in_format(
                f"there is no such day; the field has {_NAMES[self._order]}"
            ) from None

    def _fault(self, text: str) -> FormatError:
        if not text:
            return too_short("the date is empty")
        if len(text) > _LONGEST_TEXT:
            return too_long(
                "write the date alone: four digits of the year, one or two of month and day"
            )
        return not_in_format(
            f"write the date as {_NAMES[self._order]} in digits, the year with four, with the "
            "same hyphen, slash, dot or space twice, or as eight digits"
        )

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout).replace(_LEFT_OUT, "")

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        places = zip(self.parts, (self._year, self._month, self._day), strict=True)
        return {name: (place.start, place.stop) for name, place in places}

    def token_plan(self, core: str, storage: Storage) -> Plan:
        days = (self._date(core) - self._first).days
        # Two spellings of a day are two values: they get different tweaks, and so tokens.
        spelling = "".join([_LEFT_OUT if each == _LEFT_OUT else "0" for each in core])
        kept = spelling if _LEFT_OUT in spelling else ""
        text = f"{days:0{_WINDOW_DIGITS}d}"
        return Plan(_DIGITS, text, kept, lambda made: self._token_of(int(made), core))

    def value_plan(self, token_core: str) -> Plan:
        """Raises ValueError: a date is vaulted."""
        raise ValueError("format date is not vaultless")

    def spelling_key(self, core: str) -> str:
        return core.replace(_LEFT_OUT, "0")

    def space(self) -> tuple[int, RandomPlan]:
        return (self._last - self._first).days + 1, self.random_plan("", 0)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        size = (self._last - self._first).days + 1
        return random_number_plan(size, lambda days: self._token_of(days, core))

    def _token_of(self, days: int, core: str) -> str:
        """Writes a day; the value's own comes out as the value, which is never its token."""
        day = self._first + datetime.timedelta(days=days)
        year, month, of_month = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"
        if self._order == "ymd":
            token = year + month + of_month
        else:
            token = (of_month + month if self._order == "dmy" else month + of_month) + year
        return core if core.replace(_LEFT_OUT, "0") == token else token


@lru_cache(maxsize=512)
def _layout(ends: tuple[int, int], gap: str, last: str) -> Layout:
    gaps = [(end, gap) for end in ends if gap]
    return Layout(8, (*gaps, (8, last)) if last else tuple(gaps))


def _window(options: DateOptions) -> tuple[datetime.date, datetime.date]:
    first = _read_option("earliest", options.earliest) or _EARLIEST
    last = _read_option("latest", options.latest)
    if last is None:
        try:
            last = first + datetime.timedelta(days=_WINDOW - 1)
        except OverflowError:
            last = datetime.date.max
    if last <= first:
        raise FormatOptionError("latest", "latest is after earliest")
    return first, last


def _read_option(option: str, text: str | None) -> datetime.date | None:
    if text is None:
        return None
    try:
        if _ISO.fullmatch(text):
            return datetime.date.fromisoformat(text)
    except ValueError:
        pass
    raise FormatOptionError(option, f"{option} is a date as YYYY-MM-DD")
