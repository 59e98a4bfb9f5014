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
from vault.audit.of_transaction import audit_of
from vault.errors import StoreUnavailable, TokenvaultError
from vault.model import AuditEvent
from vault.postgres.begin import seconds_left
from vault.postgres.failures import deadline_exceeded
from vault.postgres.transaction import Ending, retried, transaction

__all__ = ["GroupCommit"]

_MOST_RECORDS = 64
# A call with more has its own commit: to make its answer takes long enough for others to notice.
_MOST_ITEMS = 100
# A commit that takes longer hangs: who waits for it leads another beside it.
_PATIENCE = 0.5
# For the answer to a commit that is under way when a call's deadline passes.
_GRACE = 1.0
# With less a call commits by itself: what its time breaks off, others would have to do again.
_LEAST_TIME = 0.1


class _Told(Enum):
    """What a call is told of its record."""

    LEAD = auto()  # it is this call's turn to commit
    COMMITTED = auto()
    ALONE = auto()  # the group was rolled back and nothing is written
    LATE = auto()  # its deadline passed before the commit and nothing is written


_Verdict = _Told | TokenvaultError


class _Member:
    """One call that waits for its record to be durable.

    Attributes:
        ends: ``time.monotonic()`` from which on nothing is written for it.
        told: what it was told last.
    """

    __slots__ = ("_signal", "ends", "event", "told")

    def __init__(self, event: AuditEvent, deadline: float | None) -> None:
        self.event = event
        self.ends = time.monotonic() + seconds_left(deadline)
        self.told: _Verdict = _Told.ALONE
        self._signal = threading.Lock()
        self._signal.acquire()

    @property
    def late(self) -> bool:
        """Whether its deadline has passed."""
        return time.monotonic() >= self.ends

    @property
    def short(self) -> bool:
        """Whether it has too little time for others to depend on."""
        return time.monotonic() >= self.ends - _LEAST_TIME

    def tell(self, told: _Verdict) -> None:
        """Wakes it."""
        self.told = told
        self._signal.release()

    def hears(self, until: float) -> bool:
        """Waits to be told; returns whether it was."""
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
        """Takes along who waits, but for those who would have to wait beyond their deadline."""
        self.closed = True
        earliest = self.leader.ends - _GRACE
        for each in tuple(waiting):
            if len(self.members) >= most:
                return
            if each.ends >= earliest and not each.late:
                self.members.append(each)
                waiting.remove(each)

    def ended(self, ending: Ending) -> None:
        """Notes how the transaction ended."""
        self._ending = ending

    @property
    def divisible(self) -> bool:
        """Whether each member can do what failed with the group by itself."""
        return len(self.members) > 1 and self._ending is Ending.ROLLED_BACK

    def tell(self, in_doubt: _Verdict) -> None:
        """Wakes all but the leader.

        Args:
            in_doubt: what they are told where nobody knows how the transaction ended.
        """
        known = {Ending.COMMITTED: _Told.COMMITTED, Ending.ROLLED_BACK: _Told.ALONE}
        told = known.get(self._ending, in_doubt)
        for each in self.members:
            if each is not self.leader:
                each.tell(_copied(told))


def _copied(told: _Verdict) -> _Verdict:
    """Each raises an error of its own, if at all possible: what is raised is changed by it."""
    with suppress(Exception):
        return copy.copy(told)
    return told


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
        told = self._shared(me, meanwhile)
        if told is _Told.ALONE:
            told = self._outcome(_Group(me), meanwhile, most=1)
        if told is _Told.LATE:
            raise deadline_exceeded()
        if isinstance(told, TokenvaultError):
            raise told

    def _shared(self, me: _Member, meanwhile: Callable[[], None]) -> _Verdict:
        if me.short or sum(me.event.counts.values()) > _MOST_ITEMS:
            return _Told.ALONE
        group = _Group(me)
        told: _Verdict = _Told.LEAD
        if not self._leads():
            # Not while it waits: it may be told to lead at any moment.
            meanwhile()
            if not self._leads(or_waits=me):
                told = self._awaited(me)
        return self._lead(group, meanwhile) if told is _Told.LEAD else told

    def _leads(self, or_waits: _Member | None = None) -> bool:
        """Begins to lead, or to wait, where somebody leads."""
        with self._lock:
            if self._leaders == 0:
                self._leaders = 1
                return True
            if or_waits is not None:
                self._waiting.append(or_waits)
            return False

    def _awaited(self, me: _Member) -> _Verdict:
        if me.hears(min(me.ends, time.monotonic() + _PATIENCE)):
            return me.told
        withdrawn = self._withdrawn(me)
        if withdrawn is not None:
            return withdrawn
        if me.hears(me.ends + _GRACE):
            return me.told
        return StoreUnavailable("the database has not answered the commit in time")

    def _withdrawn(self, me: _Member) -> _Told | None:
        """Takes a call back that waits, to lead if it has time; None if it does not wait."""
        with self._lock:
            if me not in self._waiting:
                return None
            self._waiting.remove(me)
            if me.late:
                return _Told.LATE
            self._leaders += 1
            return _Told.LEAD

    def _lead(self, group: _Group, meanwhile: Callable[[], None]) -> _Verdict:
        told: _Verdict | None = None
        try:
            if group.leader.short:
                return _Told.ALONE
            told = self._outcome(group, meanwhile, _MOST_RECORDS)
            return told
        finally:
            self._hand_over()
            group.tell(told or StoreUnavailable("the commit was broken off"))

    def _hand_over(self) -> None:
        with self._lock:
            if self._waiting:
                # Not after the lock: it might have given up by then, and nobody would lead.
                self._waiting.popleft().tell(_Told.LEAD)
            else:
                self._leaders -= 1

    def _outcome(self, group: _Group, meanwhile: Callable[[], None], most: int) -> _Verdict:
        try:
            retried(lambda: self._commit(group, meanwhile, most), group.leader.ends)
        except Exception as error:
            # They hold it, and it them: with all the leader's values.
            clear_frames(error.__traceback__)
            if group.divisible:
                return _Told.ALONE
            if isinstance(error, TokenvaultError):
                return error.with_traceback(None)
            raise
        return _Told.COMMITTED

    def _commit(self, group: _Group, meanwhile: Callable[[], None], most: int) -> None:
        with transaction(self._engine, group.leader.ends) as opened:
            opened.at_end.append(group.ended)
            audit = audit_of(opened, self._chain_heads)
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
