"""A call's deadline, checked between items: after it nobody waits for the answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from vault.errors import Reason, Unavailable

__all__ = ["in_time"]

T = TypeVar("T")


def in_time(items: Iterable[T], deadline: float | None) -> Iterator[T]:
    """Yields the items while there is time.

    Args:
        deadline: ``time.monotonic()`` at which the answer is worthless, or None.

    Raises:
        Unavailable: DEADLINE_EXCEEDED; the batch has a next item and no time for it.
    """
    if deadline is None:
        yield from items
        return
    for item in items:
        if time.monotonic() >= deadline:
            raise Unavailable(
                "the deadline passed while the batch was worked on: send smaller batches, or "
                "allow more time",
                reason=Reason.DEADLINE_EXCEEDED,
            )
        yield item
