"""How many calls are worked on at once, and how many may wait.

gRPC's own bound answers without a reason, and its thread pool queues without one; here
a call waits at most until its deadline, and one too many is refused at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vault.errors import Reason, Unavailable, VaultError

__all__ = ["Gate", "Overloaded"]


class Overloaded(Unavailable):
    """Every place is taken."""

    reason = Reason.OVERLOADED


class Gate:
    """Lets ``workers`` calls through at once and ``total`` be there altogether."""

    def __init__(self, workers: int, total: int) -> None:
        self._slots = threading.Semaphore(workers)
        self._places = threading.Semaphore(total)

    @contextmanager
    def pass_through(self, deadline: float) -> Iterator[None]:
        """Holds a worker's slot for the block.

        Args:
            deadline: ``time.monotonic()`` until which to wait.

        Raises:
            Overloaded: every place is taken.
            VaultError: DEADLINE_EXCEEDED, no slot in time.
        """
        if not self._places.acquire(blocking=False):
            raise Overloaded("the server is overloaded; try again")
        try:
            if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise VaultError(
                    "the deadline passed while the call waited", reason=Reason.DEADLINE_EXCEEDED
                )
            try:
                yield
            finally:
                self._slots.release()
        finally:
            self._places.release()
