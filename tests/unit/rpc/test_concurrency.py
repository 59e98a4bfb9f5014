from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from vault.errors import Reason, TokenvaultError
from vault.rpc.concurrency import ConcurrencyLimiter, Overloaded


def soon() -> float:
    return time.monotonic() + 5


@contextmanager
def passing(
    limiter: ConcurrencyLimiter, principal: str = "one", deadline: float | None = None
) -> Iterator[None]:
    with limiter.reserve(principal), limiter.acquire(principal, deadline or soon()):
        yield


def test_one_too_many_is_refused_at_once() -> None:
    limiter = ConcurrencyLimiter(workers=1, total=1)
    with passing(limiter), pytest.raises(Overloaded) as caught, passing(limiter, "two"):
        pytest.fail("the second call got through")
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.retryable


def test_a_principal_gets_its_share_and_leaves_the_rest_to_others() -> None:
    limiter = ConcurrencyLimiter(workers=8, total=4, share=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(limiter.reserve("noisy"))
        with pytest.raises(Overloaded, match="this caller"), limiter.reserve("noisy"):
            pytest.fail("a third place")
        for _ in range(2):
            stack.enter_context(limiter.reserve("quiet"))
        with pytest.raises(Overloaded, match="the server"), limiter.reserve("third"):
            pytest.fail("a fifth place")
    with passing(limiter, "noisy"), passing(limiter, "noisy"):
        pass


def test_a_waiting_call_gives_up_at_its_deadline() -> None:
    limiter = ConcurrencyLimiter(workers=1, total=2)
    late = time.monotonic() + 0.01
    with (
        passing(limiter),
        pytest.raises(TokenvaultError) as caught,
        passing(limiter, deadline=late),
    ):
        pytest.fail("the second call got through")
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED
    with (
        passing(limiter),
        pytest.raises(TokenvaultError),
        passing(limiter, deadline=time.monotonic()),
    ):
        pytest.fail("a call that gave up left its turn behind")
    with passing(limiter):
        pass


def test_places_and_slots_come_back_after_an_error() -> None:
    limiter = ConcurrencyLimiter(workers=1, total=1)
    for _ in range(3):
        with pytest.raises(RuntimeError), passing(limiter):
            raise RuntimeError
    with passing(limiter):
        pass


def await_waiting(limiter: ConcurrencyLimiter, count: int) -> None:
    end = soon()
    while sum(len(queue) for queue in limiter._queues.values()) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_principals_take_turns_however_long_their_queues_are() -> None:
    limiter = ConcurrencyLimiter(workers=1, total=20)
    order: list[str] = []

    def call(principal: str) -> None:
        with passing(limiter, principal):
            order.append(principal)

    arrivals = ["noisy"] * 6 + ["quiet", "third", "quiet"]
    threads = [threading.Thread(target=call, args=(principal,)) for principal in arrivals]
    with passing(limiter, "noisy"):
        for number, thread in enumerate(threads, 1):
            thread.start()
            await_waiting(limiter, number)
    for thread in threads:
        thread.join()
    assert order == ["noisy", "quiet", "third", "noisy", "quiet", *["noisy"] * 4]


def test_never_more_at_once_than_workers_and_nothing_is_lost() -> None:
    limiter = ConcurrencyLimiter(workers=3, total=1000)
    at_once, most, done = 0, 0, 0
    lock = threading.Lock()

    def call(number: int) -> None:
        nonlocal at_once, most, done
        for _ in range(40):
            # Some give up in the very moment that they are given a slot.
            deadline = time.monotonic() + (0.0005 if number % 4 == 0 else 30)
            try:
                with passing(limiter, f"p{number % 5}", deadline):
                    with lock:
                        at_once += 1
                        most = max(most, at_once)
                    time.sleep(0.0002)
                    with lock:
                        at_once -= 1
                        done += 1
            except TokenvaultError as error:
                assert error.reason is Reason.DEADLINE_EXCEEDED

    threads = [threading.Thread(target=call, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3
    assert done >= 18 * 40
    assert (limiter._free, limiter._all_here, dict(limiter._here), limiter._queues) == (
        3,
        0,
        {},
        {},
    )
