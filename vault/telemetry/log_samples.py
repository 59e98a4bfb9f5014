"""Samples: which events of a flood get a line of their own in the log."""

from __future__ import annotations

import threading
import time

__all__ = ["LogSampler"]


class LogSampler:
    """One sample a minute of each source, and of a limited number of sources.

    Args:
        interval: seconds between two samples of one source.
        sources: how many are remembered; beyond them there are no samples, so that a flood
            from many addresses fills neither memory nor log.
    """

    def __init__(self, interval: float = 60.0, sources: int = 256) -> None:
        self._interval = interval
        self._sources = sources
        self._lock = threading.Lock()
        self._taken: dict[str, float] = {}

    def take(self, source: str) -> bool:
        """Returns whether this event of the source is its sample."""
        now = time.monotonic()
        with self._lock:
            last = self._taken.get(source)
            if last is not None and now - last < self._interval:
                return False
            if last is None and len(self._taken) >= self._sources:
                # In the order of their samples, the oldest first.
                oldest, when = next(iter(self._taken.items()))
                if now - when < self._interval:
                    return False
                del self._taken[oldest]
            self._taken.pop(source, None)
            self._taken[source] = now
            return True
