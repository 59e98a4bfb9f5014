"""Who may take a connection of a pool, waiting no longer than a call's deadline.

SQLAlchemy's own wait is the same for everybody: a call with half a second left would stand there
for all of the pool's timeout.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

from vault.errors import Reason, StoreUnavailable
from vault.postgres.begin import seconds_left

__all__ = ["ConnectionTurns", "connection_turn", "set_turns"]


@dataclass(frozen=True, slots=True)
class ConnectionTurns:
    """The turns of one pool: as many as it has connections.

    Attributes:
        timeout: seconds to wait for one, whatever the deadline.
    """

    free: BoundedSemaphore
    timeout: float


_turns: WeakKeyDictionary[Engine, ConnectionTurns] = WeakKeyDictionary()


def set_turns(engine: Engine, turns: ConnectionTurns) -> None:
    """Has whoever takes a connection of an engine's pool wait for its turn."""
    _turns[engine] = turns


@contextmanager
def connection_turn(engine: Engine, deadline: float | None) -> Iterator[None]:
    """Holds a turn for the block, for a connection that is given back in it.

    Raises StoreUnavailable: none was free in time (OVERLOADED), or before the deadline
    (DEADLINE_EXCEEDED).
    """
    turns = _turns[engine]
    ends = time.monotonic() + turns.timeout
    if not turns.free.acquire(timeout=min(turns.timeout, seconds_left(deadline))):
        if time.monotonic() < ends:
            seconds_left(deadline)
        raise StoreUnavailable("no database connection is free", reason=Reason.OVERLOADED)
    try:
        yield
    finally:
        turns.free.release()
