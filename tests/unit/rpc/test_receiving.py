"""Requests that are awaited: bounded, not for long, and who is silent makes room."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import grpc
import pytest

from vault.errors import InvalidRequest, Reason, TokenvaultError
from vault.rpc.concurrency import Overloaded
from vault.rpc.receiving import Receiver


@dataclass
class Silent:
    """A call that sends nothing until it is ended; then as gRPC does it."""

    over: threading.Event = field(default_factory=threading.Event)
    failure: TokenvaultError | None = None

    def cancel(self) -> None:
        self.over.set()

    def sent(self) -> Iterator[bytes]:
        yield from ()
        self.over.wait(10)
        raise grpc.RpcError

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def begin(self, receiver: Receiver, holder: str) -> Silent:
        def run() -> None:
            try:
                receiver.receive(self.sent(), self, holder)
            except TokenvaultError as error:
                self.failure = error

        self.thread = threading.Thread(target=run)
        self.thread.start()
        return self


def awaited(receiver: Receiver, count: int) -> None:
    end = time.monotonic() + 5
    while len(receiver._awaited) != count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_request_that_is_here_is_returned() -> None:
    receiver = Receiver(1, 1, 5.0)
    for _ in range(3):
        assert receiver.receive([b"one"], Silent(), "a") == b"one"


def test_a_call_that_ends_without_a_request_is_invalid() -> None:
    with pytest.raises(InvalidRequest):
        Receiver(1, 1, 5.0).receive([], Silent(), "a")


def test_a_call_that_its_caller_ends_is_over() -> None:
    call = Silent()
    call.cancel()
    with pytest.raises(TokenvaultError) as failure:
        Receiver(1, 1, 5.0).receive(call.sent(), call, "a")
    assert failure.value.reason is Reason.DEADLINE_EXCEEDED


def test_who_is_silent_for_too_long_is_ended() -> None:
    receiver = Receiver(4, 4, patience=0.05)
    with Silent().begin(receiver, "a") as call:
        awaited(receiver, 1)
        receiver.expire()
        assert not call.over.is_set()
        time.sleep(0.06)
        receiver.expire()
        call.thread.join(5)
    assert call.failure is not None
    assert call.failure.reason is Reason.DEADLINE_EXCEEDED
    assert "0.05 s" in call.failure.message
    awaited(receiver, 0)


def test_one_caller_has_only_a_share() -> None:
    receiver = Receiver(4, 2, 5.0)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(Silent().begin(receiver, "a"))
        awaited(receiver, 2)
        with pytest.raises(Overloaded, match="this caller"):
            receiver.receive([b"one"], Silent(), "a")
        assert receiver.receive([b"one"], Silent(), "b") == b"one"


def test_the_longest_silence_of_whoever_has_most_makes_room() -> None:
    receiver = Receiver(3, 3, 5.0)
    with ExitStack() as stack:
        first = stack.enter_context(Silent().begin(receiver, "quiet"))
        awaited(receiver, 1)
        noisy = []
        for number in (2, 3):
            noisy.append(stack.enter_context(Silent().begin(receiver, "noisy")))
            awaited(receiver, number)
        time.sleep(0.11)
        assert receiver.receive([b"one"], Silent(), "good") == b"one"
        assert noisy[0].over.is_set()
        assert not first.over.is_set()
        assert not noisy[1].over.is_set()
        noisy[0].thread.join(5)
        assert isinstance(noisy[0].failure, Overloaded)


def test_nobody_is_sent_away_before_his_request_can_be_here() -> None:
    receiver = Receiver(1, 1, 5.0)
    with Silent().begin(receiver, "a") as call:
        awaited(receiver, 1)
        with pytest.raises(Overloaded):
            receiver.receive([b"one"], Silent(), "b")
        assert not call.over.is_set()


def test_a_message_that_comes_as_the_call_is_given_up_is_not_worked_on() -> None:
    receiver = Receiver(1, 1, patience=0.0)
    call = Silent()

    def late() -> Iterator[bytes]:
        time.sleep(0.01)
        receiver.expire()
        yield b"one"

    with pytest.raises(TokenvaultError, match="within"):
        receiver.receive(late(), call, "a")
    assert call.over.is_set()
