"""Work in as many lanes as there are calls in flight."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_parallel(work: Callable[[int, T], None], items: Sequence[T], lanes: int) -> None:
    """Calls ``work(lane, item)`` for every item, in each lane one at a time.

    Raises what the work raises.
    """
    places = itertools.count()

    def run(lane: int) -> None:
        while (place := next(places)) < len(items):
            work(lane, items[place])

    with ThreadPoolExecutor(lanes) as pool:
        for job in [pool.submit(run, lane) for lane in range(lanes)]:
            job.result()
