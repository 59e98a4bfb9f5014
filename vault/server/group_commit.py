"""Group commit: calls that write nothing but their audit record share one transaction.

Whoever comes while no commit is under way leads one at once. Who comes meanwhile waits, and one
of those leads the next with all of them: nobody waits for others to come, and the more there
are, the more share. What fails with a group and is surely rolled back is done again by each
member alone, so that no call fails for another's sake.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from traceback import clear_frames

from sqlalchemy import Engine

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.transaction_appender import transaction_appender
from vault.errors import StoreUnavailable, TokenvaultError
from vault.model import AuditEvent
from vault.postgres.begin import seconds_left
from vault.postgres.failures import deadline_exceeded
from vault.postgres.transaction import Ending, retried, transaction

__all__ = ["GroupCommit"]

_MAX_RECORDS = 64
# A call with more has its own commit: to make its answer takes long enough for others to notice.
_MAX_ITEMS = 100
# A commit that takes longer hangs: who waits for it leads another beside it.
_PATIENCE = 0.5
# For the answer to a commit that is under way when a call's deadline passes.
_GRACE = 1.0
# With less a call commits by itself: what its time breaks off, others would have to do again.
_MIN_TIME = 0.1


class _State(Enum):
    """How far the commit of a call's record has come, and what the call does next."""

    LEADER = auto()  # it commits, for itself and for those that wait
    COMMITTED = auto()
    ALONE = auto()  # nothing is written, and it commits by itself
    LATE = auto()  # nothing is written, and its deadline has passed


_Result = _State | TokenvaultError


class _Member:
    """One call that waits for its record to be durable.

    Attributes:
        ends: ``time.monotonic()`` from which on nothing is written for it.
        result: what ``wait`` waits for.
    """

    __slots__ = ("_signal", "ends", "event", "result")

    def __init__(self, event: AuditEvent, deadline: float | None) -> None:
        self.event = event
        self.ends = time.monotonic() + seconds_left(deadline)
        self.result: _Result = _State.ALONE
        self._signal = threading.Lock()
        self._signal.acquire()

    @property
    def late(self) -> bool:
        """Whether its deadline has passed."""
        return time.monotonic() >= self.ends

    @property
    def short(self) -> bool:
        """Whether it has too little time for others to depend on."""
        return time.monotonic() >= self.ends - _MIN_TIME

    def resolve(self, result: _Result) -> None:
        """Sets the result and wakes the call."""
        self.result = result
        self._signal.release()

    def wait(self, until: float) -> bool:
        """Waits for the result; returns whether it is there."""
        return self._signal.acquire(timeout=max(0.0, until - time.monotonic()))


class _Group:
    """The calls of one commit.

    Its transaction has the leader's time.

    Attributes:
        members: the leader until it is closed, and then all whose records are written.
    """

    def __init__(self, leader: _Member) -> None:
        self.leader = leader
        self.members = [leader]
        self.closed = False
        self._ending = Ending.ROLLED_BACK

    @property
    def ends(self) -> float:
        """When the last of them has no more time."""
        return max(each.ends for each in self.members)

    def close(self, waiting: deque[_Member], most: int) -> None:
        """Adds the calls that wait, but for those that would wait beyond their deadline."""
        self.closed = True
        earliest = self.leader.ends - _GRACE
        for each in tuple(waiting):
            if len(self.members) >= most:
                return
            if each.ends >= earliest and not each.late:
                self.members.append(each)
                waiting.remove(each)

    def set_ending(self, ending: Ending) -> None:
        """Notes how the transaction ended."""
        self._ending = ending

    @property
    def divisible(self) -> bool:
        """Whether each member can do what failed with the group by itself."""
        return len(self.members) > 1 and self._ending is Ending.ROLLED_BACK

    def resolve_followers(self, in_doubt: _Result) -> None:
        """Wakes all but the leader.

        Args:
            in_doubt: their result where nobody knows how the transaction ended.
        """
        known = {Ending.COMMITTED: _State.COMMITTED, Ending.ROLLED_BACK: _State.ALONE}
        result = known.get(self._ending, in_doubt)
        for each in self.members:
            if each is not self.leader:
                each.resolve(_copy_of(result))


def _copy_of(result: _Result) -> _Result:
    """Each raises an error of its own, if at all possible: what is raised is changed by it."""
    with suppress(Exception):
        return copy.copy(result)
    return result


class GroupCommit:
    """The commits of one server process; threads share it."""

    def __init__(self, engine: Engine, chain_heads: ChainHeadPool) -> None:
        self._engine = engine
        self._chain_heads = chain_heads
        self._lock = threading.Lock()
        self._leaders = 0
        self._waiting: deque[_Member] = deque()  # empty where nobody leads

    def commit(
        self, event: AuditEvent, deadline: float | None, meanwhile: Callable[[], None]
    ) -> None:
        """Returns once the record is durable.

        Args:
            deadline: ``time.monotonic()`` from which on nothing is written.
            meanwhile: called while the commit is awaited or before, and maybe again. Must not
                raise.

        Raises:
            AuditUnavailable, KeysUnavailable: the record cannot be written.
            StoreUnavailable: the database is unavailable or slow. After a lost connection during
                the commit the record may have been written.
        """
        me = _Member(event, deadline)
        result = self._commit_in_group(me, meanwhile)
        if result is _State.ALONE:
            result = self._run(_Group(me), meanwhile, most=1)
        if result is _State.LATE:
            raise deadline_exceeded()
        if isinstance(result, TokenvaultError):
            raise result

    def _commit_in_group(self, me: _Member, meanwhile: Callable[[], None]) -> _Result:
        if me.short or sum(me.event.counts.values()) > _MAX_ITEMS:
            return _State.ALONE
        group = _Group(me)
        result: _Result = _State.LEADER
        if not self._try_to_lead():
            # Not while it waits: its turn to lead may come at any moment.
            meanwhile()
            if not self._try_to_lead(or_wait=me):
                result = self._await_result(me)
        return self._lead(group, meanwhile) if result is _State.LEADER else result

    def _try_to_lead(self, or_wait: _Member | None = None) -> bool:
        """Makes the call the leader if there is none; otherwise queues ``or_wait``."""
        with self._lock:
            if self._leaders == 0:
                self._leaders = 1
                return True
            if or_wait is not None:
                self._waiting.append(or_wait)
            return False

    def _await_result(self, me: _Member) -> _Result:
        if me.wait(min(me.ends, time.monotonic() + _PATIENCE)):
            return me.result
        withdrawn = self._withdraw(me)
        if withdrawn is not None:
            return withdrawn
        if me.wait(me.ends + _GRACE):
            return me.result
        return StoreUnavailable("the database has not answered the commit in time")

    def _withdraw(self, me: _Member) -> _State | None:
        """Dequeues a call, to lead if it has time; None if it is not in the queue."""
        with self._lock:
            if me not in self._waiting:
                return None
            self._waiting.remove(me)
            if me.late:
                return _State.LATE
            self._leaders += 1
            return _State.LEADER

    def _lead(self, group: _Group, meanwhile: Callable[[], None]) -> _Result:
        result: _Result | None = None
        try:
            if group.leader.short:
                return _State.ALONE
            result = self._run(group, meanwhile, _MAX_RECORDS)
            return result
        finally:
            self._hand_over()
            group.resolve_followers(result or StoreUnavailable("the commit was broken off"))

    def _hand_over(self) -> None:
        with self._lock:
            if self._waiting:
                # Not after the lock: it might have given up by then, and nobody would lead.
                self._waiting.popleft().resolve(_State.LEADER)
            else:
                self._leaders -= 1

    def _run(self, group: _Group, meanwhile: Callable[[], None], most: int) -> _Result:
        try:
            retried(lambda: self._commit(group, meanwhile, most), group.leader.ends)
        except Exception as error:
            # They hold it, and it them: with all the leader's values.
            clear_frames(error.__traceback__)
            if group.divisible:
                return _State.ALONE
            if isinstance(error, TokenvaultError):
                return error.with_traceback(None)
            raise
        return _State.COMMITTED

    def _commit(self, group: _Group, meanwhile: Callable[[], None], most: int) -> None:
        with transaction(self._engine, group.leader.ends) as opened:
            opened.at_end.append(group.set_ending)
            audit = transaction_appender(opened, self._chain_heads)
            opened.await_begin()
            if group.leader.late:
                raise deadline_exceeded()
            if not group.closed:
                with self._lock:
                    group.close(self._waiting, most)
            # Others may have more time for the COMMIT's answer: Postgres bounds what is before.
            opened.wait_until(group.ends + _GRACE)
            audit.append_all([each.event for each in group.members])
            opened.finish = meanwhile
