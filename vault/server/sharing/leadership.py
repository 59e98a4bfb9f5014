"""Leader and follower: one call does for those that wait what each would have done alone.

Whoever comes while nobody leads, leads at once. Who comes meanwhile waits, and one of those
leads next, for all of them: nobody waits for others to come, and the more there are, the more
share.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

from vault.postgres.begin import seconds_left

__all__ = ["PATIENCE", "Leadership", "Member", "State", "resolve_all"]

PATIENCE = 0.5
"""Seconds after which what is under way hangs: who waits for it leads beside it."""

# With less a call goes alone: what its time breaks off, others would have to do again.
_MIN_TIME = 0.1


class State(Enum):
    """How far it is with a call, and what it does next."""

    LEADER = auto()  # it leads, for itself and for those that wait
    DONE = auto()
    ALONE = auto()  # nothing was done, and it does it by itself
    LATE = auto()  # nothing was done, and its deadline has passed


R = TypeVar("R")


# Of wakers and those that give up at the same moment.
_waking = threading.Lock()


class Member(Generic[R]):
    """One call that waits.

    Attributes:
        ends: ``time.monotonic()`` from which on nothing is done for it.
        result: what ``wait`` waits for.
    """

    __slots__ = ("_next", "_passed_over", "_signal", "_waits", "ends", "result")

    def __init__(self, deadline: float | None) -> None:
        self.ends = time.monotonic() + seconds_left(deadline)
        self.result: R | State = State.ALONE
        self._signal = threading.Lock()
        self._signal.acquire()
        self._waits = True  # or will
        self._passed_over = False
        self._next: Member[R] | None = None

    @property
    def late(self) -> bool:
        """Whether its deadline has passed."""
        return time.monotonic() >= self.ends

    @property
    def short(self) -> bool:
        """Whether it has too little time for others to depend on."""
        return time.monotonic() >= self.ends - _MIN_TIME

    def resolve(self, result: R | State) -> None:
        """Sets the result and wakes the call."""
        self.result = result
        self.wake()

    def wait(self, until: float) -> bool:
        """Waits for the result; returns whether it is there. May be called again."""
        if not self._waits and self._was_passed_over():
            return True
        if not self._signal.acquire(timeout=max(0.0, until - time.monotonic())):
            with _waking:
                self._waits = self._signal.acquire(blocking=False)
            if not self._waits:
                return False
        following = self.unlink()
        if following is not None:
            following.wake()
        return True

    def link(self, following: Member[R]) -> None:
        """Names the call that is woken once this one is awake."""
        self._next = following

    def unlink(self) -> Member[R] | None:
        """Returns the call that was named, and forgets it."""
        following, self._next = self._next, None
        return following

    def wake(self) -> None:
        """Wakes the call, or the first of those after it that has not given up."""
        each: Member[R] | None = self
        while each is not None and not each.signal():
            each = each.unlink()

    def signal(self) -> bool:
        """Wakes the call; returns False where it has given up."""
        with _waking:
            if self._waits:
                self._signal.release()
            else:
                self._passed_over = True
            return self._waits

    def _was_passed_over(self) -> bool:
        with _waking:
            self._waits = True
            return self._passed_over


def resolve_all(members: Sequence[Member[R]], results: Sequence[R | State]) -> None:
    """Sets the results of calls and wakes them, each when the one before is awake.

    All at once they would wait for the interpreter, and take it from each other.
    """
    for each, result in zip(members, results, strict=True):
        each.result = result
    for each, following in pairwise(members):
        each.link(following)
    if members:
        members[0].wake()


class _Waits(Protocol):
    """A member, whatever its results are."""

    @property
    def late(self) -> bool: ...

    @property
    def result(self) -> object: ...

    def resolve(self, result: State) -> None: ...


M = TypeVar("M", bound=_Waits)


class Leadership(Generic[M]):
    """Who leads and who waits; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaders = 0
        self._waiting: deque[M] = deque()  # empty where nobody leads

    def _try_to_lead(self, or_wait: M | None = None) -> bool:
        """Makes the call the leader if there is none; otherwise queues ``or_wait``."""
        with self._lock:
            if self._leaders == 0:
                self._leaders = 1
                return True
            if or_wait is not None:
                self._waiting.append(or_wait)
            return False

    def _withdraw(self, me: M) -> State | None:
        """Dequeues a call, to lead if it has time; None where whoever leads has taken it along.

        A call that was made the leader meanwhile is: nobody else would lead ever again.
        """
        with self._lock:
            if me not in self._waiting:
                return State.LEADER if me.result is State.LEADER else None
            self._waiting.remove(me)
            if me.late:
                return State.LATE
            self._leaders += 1
            return State.LEADER

    def _hand_over(self) -> None:
        """Has the first of those that wait lead; nobody, where none does."""
        with self._lock:
            if self._waiting:
                # Not after the lock: it might have given up by then, and nobody would lead.
                self._waiting.popleft().resolve(State.LEADER)
            else:
                self._leaders -= 1
