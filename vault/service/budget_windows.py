"""Counting values over sliding windows of time, in a fixed number of slices each.

A window of n seconds is counted in slices of n/20. A value leaves the count once its whole slice
is older than the window: so in no interval of n seconds are there more than the count says, and
each comes back after at most 21/20 of the window. Pure: times are microseconds since 1970.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SLICES", "Window", "charged", "read_windows", "write_windows"]

SLICES = 20
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted in a window.

    Attributes:
        seconds: its length.
        newest: the number of the newest slice, counted from 1970.
        slices: values by slice, the newest first.
    """

    seconds: int
    newest: int
    slices: tuple[int, ...]

    @property
    def used(self) -> int:
        """Values in the window."""
        return sum(self.slices)

    def at(self, now: int) -> Window:
        """Returns the window as of now; time that runs backwards changes nothing."""
        current = now // _slice(self.seconds)
        ahead = min(max(0, current - self.newest), SLICES + 1)
        slices = ((0,) * ahead + self.slices)[: SLICES + 1]
        return Window(self.seconds, max(current, self.newest), slices)

    def add(self, values: int) -> Window:
        """Returns the window with values more in its newest slice."""
        return Window(self.seconds, self.newest, (self.slices[0] + values, *self.slices[1:]))

    def used_since(self, moment: int) -> int:
        """Returns the values that may have been counted after a moment."""
        length = _slice(self.seconds)
        ends = ((self.newest - back + 1) * length for back in range(len(self.slices)))
        return sum(values for values, end in zip(self.slices, ends, strict=True) if end > moment)

    def until_freed(self, values: int, now: int) -> float:
        """Returns the seconds until so many values will have left, of at most ``used``."""
        freed = 0
        for back in reversed(range(len(self.slices))):
            freed += self.slices[back]
            if freed >= values:
                leaves = (self.newest - back + SLICES + 1) * _slice(self.seconds)
                return max(0, leaves - now) / _SECOND
        raise ValueError("more values than are in the window")


def charged(
    windows: Mapping[int, Window], lengths: frozenset[int], values: int, now: int
) -> dict[int, Window]:
    """Returns the windows by length as of now, with values more in each.

    A length that is new begins with what the others know of its time: another window in the
    policy forgets nothing. One that nobody asks for stays until it is empty.
    """
    current = {seconds: window.at(now) for seconds, window in windows.items()}
    kept = {seconds: each for seconds, each in current.items() if each.used or seconds in lengths}
    for seconds in lengths - kept.keys():
        begun = now - seconds * _SECOND
        known = max((each.used_since(begun) for each in current.values()), default=0)
        kept[seconds] = Window(seconds, now // _slice(seconds), (known,))
    return {seconds: window.add(values) for seconds, window in kept.items()}


def write_windows(windows: Mapping[int, Window]) -> str:
    """Writes windows as JSON in one way only: by length, newest slice and values."""
    document = {
        f"{seconds}": [window.newest, list(window.slices)] for seconds, window in windows.items()
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def read_windows(text: str) -> dict[int, Window]:
    """Reads what ``write_windows`` wrote: the text's MAC must have been verified."""
    document: dict[str, tuple[int, list[int]]] = json.loads(text)
    return {
        int(seconds): Window(int(seconds), newest, tuple(slices))
        for seconds, (newest, slices) in document.items()
    }


def _slice(seconds: int) -> int:
    return seconds * (_SECOND // SLICES)
