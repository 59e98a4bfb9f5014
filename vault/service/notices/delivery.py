"""Sending a receiver its notices: each until it has been taken, or is too old.

A row is leased for the attempt, so no transaction is open while the receiver is waited for and
no other server sends the same notice. It goes once the receiver has answered that it has it. A
server that ends in between sends it again: under the same id, by which receivers know it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from functools import partial

from vault.crypto.key_versions import verifies_under
from vault.service.notices.notices import is_genuine
from vault.service.ports import DueNotice, KeySource, OutboxRow, UnitOfWork

__all__ = ["Delivery", "NotDelivered", "NoticeOutcome"]

_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=5)


class NoticeOutcome(StrEnum):
    """What became of an attempt to send a notice."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It is tried again."""

    GIVEN_UP = "given_up"
    """It was too old to be tried again."""


class NotDelivered(Exception):
    """A receiver did not take a notice. The message quotes nothing of its answer.

    Attributes:
        given_up: the notice that is not tried again, or None.
    """

    def __init__(self, problem: str, given_up: OutboxRow | None) -> None:
        super().__init__(problem)
        self.given_up = given_up


class Delivery:
    """Sends one receiver its notices.

    Args:
        send: sends a notice; returns what went wrong, "" where the receiver has taken it.
        lease: longer than ``send`` takes.
        max_age: how old a notice may be and still be tried again.
        refused: told of a row that no server of ours wrote.
        spread: returns a number from 0 to 1: receivers that come back are not asked all at once.
    """

    def __init__(
        self,
        work: UnitOfWork,
        keys: KeySource,
        endpoint: str,
        send: Callable[[OutboxRow], str],
        *,
        lease: timedelta,
        max_age: timedelta,
        refused: Callable[[OutboxRow], None],
        count: Callable[[NoticeOutcome], None],
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._work = work
        self._keys = keys
        self._endpoint = endpoint
        self._send = send
        self._lease = lease
        self._max_age = max_age
        self._refused = refused
        self._count = count
        self._spread = spread
        self._taken: OutboxRow | None = None

    def deliver(self) -> bool:
        """Sends the notice that is due the longest; returns whether there was one.

        Raises NotDelivered, StoreUnavailable, KeysUnavailable.
        """
        if self._taken is not None:  # only its removal failed
            self._remove(self._taken)
            self._taken = None
        due = self._work.run(
            lambda transaction: transaction.outbox.claim(self._endpoint, self._lease)
        )
        if due is None:
            return False
        if not self._genuine(due.row):
            self._refused(due.row)
            self._remove(due.row)
            return True
        problem = self._send(due.row)
        if problem:
            self._fail(due, problem)
        self._count(NoticeOutcome.DELIVERED)
        self._taken = due.row
        self._remove(due.row)
        self._taken = None
        return True

    def _fail(self, due: DueNotice, problem: str) -> None:
        self._count(NoticeOutcome.FAILED)
        if due.age >= self._max_age:
            self._remove(due.row)
            self._count(NoticeOutcome.GIVEN_UP)
            raise NotDelivered(problem, due.row)
        pause = self._pause(due.attempts)
        self._work.run(lambda transaction: transaction.outbox.postpone(due.row, pause))
        raise NotDelivered(problem, None)

    def _pause(self, attempts: int) -> timedelta:
        """Returns how long a notice waits after so many attempts: twice as long each time."""
        doubled = _FIRST_PAUSE * (1 << min(attempts - 1, 16))
        return min(doubled, _LONGEST_PAUSE) * (0.5 + self._spread() / 2)

    def _remove(self, row: OutboxRow) -> None:
        self._work.run(lambda transaction: transaction.outbox.remove(row))

    def _genuine(self, row: OutboxRow) -> bool:
        key_of = partial(self._keys.audit_key, row.tenant)
        return verifies_under(key_of, row.key_version, lambda key: is_genuine(key, row))
