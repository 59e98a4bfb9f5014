"""Group commit: calls that write nothing but their audit record share one transaction.

Whoever comes while no commit is under way leads one at once. Who comes meanwhile waits, and one
of those leads the next with all of them: nobody waits for others to come, and the more there
are, the more share. What fails with a group and is surely rolled back is done again by each
member alone, so that no call fails for another's sake.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from traceback import clear_frames

from sqlalchemy import Engine

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.transaction_appender import transaction_appender
from vault.errors import StoreUnavailable, TokenvaultError
from vault.model import AuditEvent
from vault.postgres.failures import deadline_exceeded
from vault.postgres.transaction import Ending, retried, transaction
from vault.server.sharing.leadership import PATIENCE, Leadership, Member, State, resolve_all

__all__ = ["GroupCommit"]

_MAX_RECORDS = 64
# A call with more has its own commit: to make its answer takes long enough for others to notice.
_MAX_ITEMS = 100
# For the answer to a commit that is under way when a call's deadline passes.
_GRACE = 1.0
_Result = State | TokenvaultError


class _Member(Member[TokenvaultError]):
    """One call that waits for its record to be durable."""

    __slots__ = ("event",)

    def __init__(self, event: AuditEvent, deadline: float | None) -> None:
        super().__init__(deadline)
        self.event = event


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
        known = {Ending.COMMITTED: State.DONE, Ending.ROLLED_BACK: State.ALONE}
        result = known.get(self._ending, in_doubt)
        followers = [each for each in self.members if each is not self.leader]
        resolve_all(followers, [_copy_of(result) for _ in followers])


def _copy_of(result: _Result) -> _Result:
    """Each raises an error of its own, if at all possible: what is raised is changed by it."""
    with suppress(Exception):
        return copy.copy(result)
    return result


class GroupCommit(Leadership[_Member]):
    """The commits of one server process; threads share it."""

    def __init__(self, engine: Engine, chain_heads: ChainHeadPool) -> None:
        super().__init__()
        self._engine = engine
        self._chain_heads = chain_heads

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
        if result is State.ALONE:
            result = self._run(_Group(me), meanwhile, most=1)
        if result is State.LATE:
            raise deadline_exceeded()
        if isinstance(result, TokenvaultError):
            raise result

    def _commit_in_group(self, me: _Member, meanwhile: Callable[[], None]) -> _Result:
        if me.short or sum(me.event.counts.values()) > _MAX_ITEMS:
            return State.ALONE
        group = _Group(me)
        result: _Result = State.LEADER
        if not self._try_to_lead():
            # Not while it waits: its turn to lead may come at any moment.
            meanwhile()
            if not self._try_to_lead(or_wait=me):
                result = self._await_result(me)
        return self._lead(group, meanwhile) if result is State.LEADER else result

    def _await_result(self, me: _Member) -> _Result:
        if me.wait(min(me.ends, time.monotonic() + PATIENCE)):
            return me.result
        withdrawn = self._withdraw(me)
        if withdrawn is not None:
            return withdrawn
        if me.wait(me.ends + _GRACE):
            return me.result
        return StoreUnavailable("the database has not answered the commit in time")

    def _lead(self, group: _Group, meanwhile: Callable[[], None]) -> _Result:
        result: _Result | None = None
        try:
            if group.leader.short:
                return State.ALONE
            result = self._run(group, meanwhile, _MAX_RECORDS)
            return result
        finally:
            self._hand_over()
            group.resolve_followers(result or StoreUnavailable("the commit was broken off"))

    def _run(self, group: _Group, meanwhile: Callable[[], None], most: int) -> _Result:
        try:
            retried(lambda: self._commit(group, meanwhile, most), group.leader.ends)
        except Exception as error:
            # They hold it, and it them: with all the leader's values.
            clear_frames(error.__traceback__)
            if group.divisible:
                return State.ALONE
            if isinstance(error, TokenvaultError):
                return error.with_traceback(None)
            raise
        return State.DONE

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
