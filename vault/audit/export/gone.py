"""Positions of an export whose records have no body, until it is known which were pruned.

The record that declares a pruning comes after those that it drops, which may be millions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["GonePositions"]

_MAX_RUNS = 10_000


@dataclass(slots=True)
class _Run:
    """Positions without a body: all from first to last, or as many of those."""

    first: int
    last: int
    count: int


@dataclass
class GonePositions:
    """Rising positions, held as runs; of too many the oldest two become one."""

    _runs: list[_Run] = field(default_factory=list)

    def add(self, position: int) -> None:
        """Takes the next position."""
        last = self._runs[-1] if self._runs else None
        if last is not None and last.last == position - 1:
            last.last, last.count = position, last.count + 1
            return
        self._runs.append(_Run(position, position, 1))
        if len(self._runs) > _MAX_RUNS:
            first, second, *rest = self._runs
            joined = _Run(first.first, second.last, first.count + second.count)
            self._runs = [joined, *rest]

    def through(self, end: int) -> int:
        """Returns how many there are up to ``end``."""
        return sum(run.count for run in self._runs) - sum(n for *_, n in self.after(end))

    def after(self, end: int) -> Iterator[tuple[int, int, int]]:
        """Yields first, last and count of each run after ``end``."""
        for run in self._runs:
            known = self._known(run, end)
            if run.last > end:
                yield (end + 1 if known else run.first), run.last, run.count - known

    def _known(self, run: _Run, end: int) -> int:
        """Returns how many of a run are up to ``end``, as far as that is known."""
        whole = run.count == run.last - run.first + 1
        return max(0, min(end, run.last) - run.first + 1) if whole else 0
