"""How many calls there are at once, of one caller and of all, and whose turn it is.

gRPC's own bound answers without a reason, and its thread pool queues without one; here
a call waits at most until its deadline, and one too many is refused at once. Callers
queue apart and are served in turn: one that sends a thousand calls has as many places
as one may have, and delays another caller's call by one call of its own for each that
is worked on, not by its whole queue.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from vault.errors import Reason, TokenvaultError, Unavailable

__all__ = ["ConcurrencyLimiter", "Overloaded"]


class Overloaded(Unavailable):
    """Every place is taken."""

    reason = Reason.OVERLOADED


class _Waiter:
    """One waiting call."""

    __slots__ = ("given", "signal")

    def __init__(self) -> None:
        self.given = False
        self.signal = threading.Lock()
        self.signal.acquire()


class ConcurrencyLimiter:
    """Bounds on calls; all listeners of a process share one.

    Args:
        workers: calls worked on at once.
        total: calls that may be here altogether, waiting or worked on.
        share: calls of one principal that may be here; all if None.
    """

    def __init__(self, workers: int, total: int, share: int | None = None) -> None:
        self._free = workers
        self._total = total
        self._share = total if share is None else share
        self._lock = threading.Lock()
        self._here: Counter[str] = Counter()
        self._all_here = 0
        # In the order of their next turns. Not empty only while no slot is free.
        self._queues: dict[str, deque[_Waiter]] = {}

    @contextmanager
    def reserve(self, principal: str) -> Iterator[None]:
        """Holds a place for the block.

        Raises:
            Overloaded: every place is taken, or all that one principal may have.
        """
        with self._lock:
            self._check(principal)
            self._here[principal] += 1
            self._all_here += 1
        try:
            yield
        finally:
            with self._lock:
                self._all_here -= 1
                self._here[principal] -= 1
                if not self._here[principal]:
                    del self._here[principal]

    def check(self, principal: str) -> None:
        """Looks whether there is a place, without taking it. Raises Overloaded."""
        with self._lock:
            self._check(principal)

    def _check(self, principal: str) -> None:
        if self._all_here >= self._total:
            raise Overloaded("the server is overloaded; try again")
        if self._here[principal] >= self._share:
            raise Overloaded("this caller has too many calls here at once; try again")

    @contextmanager
    def acquire(self, principal: str, deadline: float) -> Iterator[None]:
        """Waits for the caller's turn and holds a worker's slot for the block.

        Args:
            deadline: ``time.monotonic()`` until which to wait.

        Raises:
            TokenvaultError: DEADLINE_EXCEEDED, no slot in time.
        """
        self._take(principal, deadline)
        try:
            yield
        finally:
            with self._lock:
                self._release()

    def _take(self, principal: str, deadline: float) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            waiter = _Waiter()
            self._queues.setdefault(principal, deque()).append(waiter)
        if waiter.signal.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return
        with self._lock:
            if waiter.given:
                # In the moment that it gave up.
                self._release()
            else:
                self._withdraw(principal, waiter)
        raise TokenvaultError(
            "the deadline passed while the call waited", reason=Reason.DEADLINE_EXCEEDED
        )

    def _release(self) -> None:
        """Gives a slot to whoever is next: one call of each principal, in turn."""
        for principal, queue in self._queues.items():
            waiter = queue.popleft()
            del self._queues[principal]
            if queue:
                self._queues[principal] = queue
            waiter.given = True
            waiter.signal.release()
            return
        self._free += 1

    def _withdraw(self, principal: str, waiter: _Waiter) -> None:
        queue = self._queues[principal]
        queue.remove(waiter)
        if not queue:
            del self._queues[principal]
