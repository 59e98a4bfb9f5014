"""Repeated log events: one cause is logged once a minute, with a count."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from structlog.typing import EventDict, WrappedLogger

__all__ = ["RepeatFilter"]

# One of these for each call and each round of a background thread adds nothing to the first.
_REPEATED = frozenset({"audit not available", "database error", "unexpected error"})
# What differs between two records of one cause.
_OF_THE_CALL = frozenset({"request_id", "timestamp"})
_MAX_CAUSES = 256


class RepeatFilter:
    """A structlog processor that drops records logged a moment ago. Threads may share it.

    The next one after ``interval`` seconds has in ``repeated`` how many were dropped.
    """

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        # When each was last let through, and how many were dropped since; the oldest first.
        self._causes: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        """Returns the record, or raises DropEvent."""
        if event.get("event") not in _REPEATED:
            return event
        kept = {name: event[name] for name in sorted(event.keys() - _OF_THE_CALL)}
        dropped = self._dropped(repr(kept))
        if dropped is None:
            raise structlog.DropEvent
        if dropped:
            event["repeated"] = dropped
        return event

    def _dropped(self, cause: str) -> int | None:
        """Returns how many were dropped before this one, None where this one is to be."""
        now = self._clock()
        with self._lock:
            logged_at, dropped = self._causes.get(cause, (-float("inf"), 0))
            if now - logged_at < self._interval:
                self._causes[cause] = logged_at, dropped + 1
                return None
            self._causes[cause] = now, 0
            self._causes.move_to_end(cause)
            while len(self._causes) > _MAX_CAUSES:
                self._causes.popitem(last=False)
            return dropped
