from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from vault.server.call_threads import CallThreads

T = TypeVar("T")
PATIENCE = 10.0


@pytest.fixture
def threads() -> Iterator[CallThreads]:
    made = CallThreads(3, "test")
    yield made
    made.shutdown()


def ended(task: Future[T]) -> None:
    done = threading.Event()
    task.add_done_callback(lambda _: done.set())
    assert done.wait(PATIENCE)


def test_calls_one_after_the_other_share_one_thread(threads: CallThreads) -> None:
    names = []
    for _ in range(20):
        idle = threading.Event()
        task = threads.submit(lambda: names.append(threading.current_thread().name))
        task.add_done_callback(lambda _, idle=idle: idle.set())  # type: ignore[misc]
        assert idle.wait(PATIENCE)
    assert set(names) <= {"test_0", "test_1"}  # the callback comes just before it is idle


def test_calls_at_once_have_a_thread_each_and_one_more_waits(threads: CallThreads) -> None:
    all_there, go = threading.Barrier(4), threading.Event()

    def call() -> None:
        all_there.wait(PATIENCE)
        assert go.wait(PATIENCE)

    tasks = [threads.submit(call) for _ in range(3)]
    ran = threading.Event()
    fourth = threads.submit(ran.set)
    all_there.wait(PATIENCE)
    assert not ran.is_set()
    go.set()
    for task in [*tasks, fourth]:
        ended(task)
    assert ran.is_set()


def test_a_callback_that_comes_after_the_end_is_called_at_once(threads: CallThreads) -> None:
    ran = threading.Event()
    task = threads.submit(ran.set)
    assert ran.wait(PATIENCE)
    ended(threads.submit(lambda: None))
    calls: list[object] = []
    threads.shutdown()  # joins: the task has surely ended
    task.add_done_callback(calls.append)
    assert calls == [task]


def test_a_call_that_raises_ends_and_its_thread_goes_on(threads: CallThreads) -> None:
    def broken() -> None:
        raise SystemExit("4111111111111111")

    with capture_logs() as logs:
        ended(threads.submit(broken))
        ended(threads.submit(lambda: None))
    (line,) = logs
    assert line["error"] == "SystemExit"
    assert "4111" not in str(line)


def test_an_idle_thread_holds_nothing_of_its_last_call(threads: CallThreads) -> None:
    class Request:
        pass

    request = Request()
    gone = weakref.ref(request)
    threads.submit(lambda held: held is None, request)
    del request
    until = time.monotonic() + PATIENCE
    while gone() is not None and time.monotonic() < until:
        time.sleep(0.001)
    assert gone() is None


def test_shutdown_lets_waiting_calls_end_and_takes_no_more() -> None:
    threads = CallThreads(1, "test")
    began, go, ran = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        began.set()
        assert go.wait(PATIENCE)

    threads.submit(first)
    assert began.wait(PATIENCE)
    threads.submit(ran.set)
    threads.shutdown(wait=False)
    with pytest.raises(RuntimeError):
        threads.submit(ran.set)
    go.set()
    threads.shutdown()
    assert ran.is_set()


def test_a_thread_that_cannot_be_started_costs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = CallThreads(2, "test")
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go.wait(PATIENCE)

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    first = threads.submit(hold)
    assert held.wait(PATIENCE)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_more)
        waiting = threads.submit(lambda: None)
    go.set()
    ended(first)
    ended(waiting)
    threads.shutdown()


def test_a_callback_that_raises_costs_no_thread() -> None:
    threads = CallThreads(1, "test")

    def broken(_: object) -> None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        for _ in range(3):
            began = threading.Event()
            task = threads.submit(began.wait, PATIENCE)
            task.add_done_callback(broken)
            began.set()
        ended(threads.submit(lambda: None))
        threads.shutdown()
    assert {line["error"] for line in logs} == {"ZeroDivisionError"}


def test_a_log_that_is_gone_costs_neither_callback_nor_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OSError("standard error is closed")

    threads = CallThreads(1, "test")
    monkeypatch.setattr("vault.server.call_threads._log", SimpleNamespace(error=gone))

    def broken() -> None:
        raise ValueError

    ended(threads.submit(broken))
    ended(threads.submit(lambda: None))
    threads.shutdown()
