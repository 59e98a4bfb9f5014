"""Calls that look tokens up at the same time share a round trip to Postgres.

For what locks and changes nothing. Whoever comes while none is under way goes at once, and those
that come meanwhile go together next, as with ``group_commit``. What fails together is done
again by each call alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from traceback import clear_frames

from sqlalchemy import Engine

from vault.errors import TokenvaultError
from vault.model import StoredTokens
from vault.postgres.failures import deadline_exceeded
from vault.server.sharing.leadership import PATIENCE, Leadership, Member, State, resolve_all
from vault.store.lookups import Lookup, look_up_all

__all__ = ["SharedLookups"]

# Of one call, and of all that share a round trip: all of it is written before an answer is read.
_MAX_ITEMS = 100
_MAX_TOGETHER = 500
_MAX_BYTES = 4096

_Result = State | StoredTokens | TokenvaultError


class _Asking(Member[StoredTokens | TokenvaultError]):
    """One call that waits for what it looks up."""

    __slots__ = ("lookup",)

    def __init__(self, lookup: Lookup, deadline: float | None) -> None:
        super().__init__(deadline)
        self.lookup = lookup

    @property
    def large(self) -> bool:
        """Whether others would notice that they wait for it."""
        asked = self.lookup.asked
        return len(asked) > _MAX_ITEMS or sum(map(len, asked)) > _MAX_BYTES


class SharedLookups(Leadership[_Asking]):
    """The look-ups of one server process; threads share it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def find(self, lookup: Lookup, deadline: float | None) -> StoredTokens | None:
        """Returns what is found, tombstones too; None where the call is to look by itself.

        Raises:
            StoreUnavailable: the database is unavailable, or was too slow for the deadline.
        """
        me = _Asking(lookup, deadline)
        if me.short or me.large:
            return None
        result: _Result = State.LEADER
        if not self._try_to_lead(or_wait=me):
            result = self._await_result(me)
        if result is State.LEADER:
            result = self._lead(me)
        if result is State.LATE:
            raise deadline_exceeded()
        if isinstance(result, TokenvaultError):
            raise result
        return result if isinstance(result, StoredTokens) else None

    def _await_result(self, me: _Asking) -> _Result:
        if me.wait(min(me.ends, time.monotonic() + PATIENCE)):
            return me.result
        withdrawn = self._withdraw(me)
        if withdrawn is not None:
            return withdrawn
        # What is under way hangs. It changes nothing, so that nobody need wait for it.
        return State.LATE if me.late else State.ALONE

    def _lead(self, me: _Asking) -> _Result:
        group = [me]
        results: list[_Result] = []
        try:
            if me.short:
                return State.ALONE
            results += self._look_up(group)
        finally:
            self._hand_over()
            followers = group[1:]
            resolve_all(followers, results[1:] or len(followers) * [State.ALONE])
        return results[0]

    def _look_up(self, group: list[_Asking]) -> Sequence[_Result]:
        """Returns what each found; adds to the group those that wait."""

        def lookups() -> list[Lookup]:
            with self._lock:
                self._close(group)
            return [each.lookup for each in group]

        try:
            return look_up_all(self._engine, group[0].ends, lookups)
        except TokenvaultError as error:
            # They hold it, and it them: with all the calls' values.
            clear_frames(error.__traceback__)
            if len(group) == 1:
                return [error.with_traceback(None)]
            return len(group) * [State.ALONE]

    def _close(self, group: list[_Asking]) -> None:
        items = len(group[0].lookup.asked)
        while self._waiting:
            items += len(self._waiting[0].lookup.asked)
            if items > _MAX_TOGETHER:
                return
            group.append(self._waiting.popleft())
