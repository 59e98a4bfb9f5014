"""Where a call is until its request is here: apart from the places of work, and not for long.

Python's gRPC receives in a thread of its pool, which the caller's silence holds. Such
threads are bounded here, for each caller and for all; one that waits too long is woken by
ending its call. Where all are taken, the longest wait of the caller with the most of them
makes room: a request sent along with its call needs the place for a millisecond.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import grpc

from vault.errors import InvalidRequest, Reason, TokenvaultError
from vault.rpc.concurrency import Overloaded

__all__ = ["Receiver"]

# No call is ended sooner: a request that was sent has arrived by then, and a shorter time
# would only help against floods of calls, which are not silent.
_GRACE = 0.1


class _CancellableContext(Protocol):
    """The part of a servicer context that is used."""

    def cancel(self) -> object: ...


class _Awaited:
    """A call whose request has not come yet."""

    __slots__ = ("cancel", "ended", "holder", "since")

    def __init__(self, holder: str, cancel: Callable[[], object]) -> None:
        self.holder = holder
        self.cancel = cancel
        self.since = time.monotonic()
        self.ended: TokenvaultError | None = None


class Receiver:
    """Receives requests; ``expire`` must be called every now and then.

    Args:
        places: requests that may be awaited at once.
        share: how many of them may be one caller's.
        patience: seconds that a caller has to send its request.
    """

    def __init__(self, places: int, share: int, patience: float) -> None:
        self._places = places
        self._share = share
        self._patience = patience
        self._lock = threading.Lock()
        # In the order in which they came.
        self._awaited: dict[_Awaited, None] = {}
        self._held: Counter[str] = Counter()

    def receive(self, sent: Iterable[bytes], context: _CancellableContext, holder: str) -> bytes:
        """Returns the one message of a call.

        Args:
            holder: whose place it takes: the caller, or an unknown caller's address.

        Raises:
            Overloaded: too many requests are awaited, of this caller or of all.
            InvalidRequest: the caller ends the call without a message.
            TokenvaultError: DEADLINE_EXCEEDED; the call has ended, or was ended for its silence.
        """
        entry, gone = self._enter(_Awaited(holder, context.cancel))
        if gone is not None:
            gone.cancel()
        try:
            message = next(iter(sent), None)
        except grpc.RpcError:
            # Mostly nobody is there to read this: the caller has cancelled, or its time is over.
            raise entry.ended or _ended_early() from None
        finally:
            self._leave(entry)
        # Where the message came in the moment that it was given up, the call is over too.
        if entry.ended is not None:
            raise entry.ended
        if message is None:
            raise InvalidRequest("the call carries no request")
        return message

    def expire(self) -> None:
        """Ends the calls that have been silent for too long."""
        latest = time.monotonic() - self._patience
        with self._lock:
            late = [entry for entry in self._awaited if entry.since < latest]
            for entry in late:
                self._give_up(entry, _too_late(self._patience))
        for entry in late:
            entry.cancel()

    def _enter(self, entry: _Awaited) -> tuple[_Awaited, _Awaited | None]:
        """Takes a place; returns also the call that must be ended for it."""
        gone = None
        with self._lock:
            if self._held[entry.holder] >= self._share < self._places:
                raise Overloaded("this caller has too many requests on their way; try again")
            if len(self._awaited) >= self._places:
                gone = self._longest()
                if gone is None:
                    raise Overloaded("the server is overloaded; try again")
                self._give_up(gone, Overloaded("the request was not here yet, and others were"))
            self._awaited[entry] = None
            self._held[entry.holder] += 1
        return entry, gone

    def _longest(self) -> _Awaited | None:
        most = max(self._held.values(), default=0)
        latest = time.monotonic() - _GRACE
        old: Iterator[_Awaited] = (
            each
            for each in self._awaited
            if self._held[each.holder] == most and each.since <= latest
        )
        return next(old, None)

    def _give_up(self, entry: _Awaited, why: TokenvaultError) -> None:
        entry.ended = why
        self._forget(entry)

    def _leave(self, entry: _Awaited) -> None:
        with self._lock:
            if entry in self._awaited:
                self._forget(entry)

    def _forget(self, entry: _Awaited) -> None:
        del self._awaited[entry]
        self._held[entry.holder] -= 1
        if not self._held[entry.holder]:
            del self._held[entry.holder]


def _ended_early() -> TokenvaultError:
    return TokenvaultError(
        "the call ended before its request was here", reason=Reason.DEADLINE_EXCEEDED
    )


def _too_late(patience: float) -> TokenvaultError:
    return TokenvaultError(
        f"the request was not here within {patience:g} s", reason=Reason.DEADLINE_EXCEEDED
    )
