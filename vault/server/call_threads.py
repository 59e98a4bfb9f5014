"""The threads that gRPC's calls run in: the one that was busy last takes the next call.

A ``ThreadPoolExecutor`` wakes the thread that has waited longest, whose memory is cold, and
makes for each call a future with a lock and a condition that gRPC never uses.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from vault.telemetry.logging import frames_of, get_log

__all__ = ["CallThreads"]

P = ParamSpec("P")
T = TypeVar("T")

_log = get_log(__name__)


class _Runnable(Protocol):
    """What a thread knows of a task."""

    def run(self) -> None: ...


class _Task(Future[T]):
    """A call, and as much of a future as gRPC uses: one callback at its end."""

    def __init__(self, call: Callable[[], T]) -> None:
        # Without the base's, whose lock and condition cost as much as all of this.
        self._call = call
        # At most one entry: the callback, or this task where it had ended before there was one.
        self._at_end: dict[str, Callable[[Future[T]], object] | None] = {}

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Has ``fn`` called when the call has ended, at once where it has. Once only."""
        if self._at_end.setdefault("done", fn) is not fn:
            fn(self)

    def run(self) -> None:
        """Runs the call, and then the callback."""
        # gRPC answers for what a call raises, and counts its calls by the callback: whatever
        # fails here, the callback is called and the thread goes on with other calls.
        _guarded(self._call)
        done = self._at_end.setdefault("done", None)
        if done is not None:
            _guarded(partial(done, self))


def _guarded(step: Callable[[], object]) -> None:
    try:
        step()
    except BaseException as error:  # noqa: BLE001 - see _Task.run
        with suppress(Exception):  # standard error may be gone
            _log.error("unexpected error", error=type(error).__name__, frames=frames_of(error))


class _Thread:
    """A thread, and how to give it a task while it is idle."""

    __slots__ = ("_given", "_signal", "thread")

    def __init__(self, work: Callable[[_Thread], None], name: str) -> None:
        self._given: _Runnable | None = None
        self._signal = threading.Lock()
        self._signal.acquire()
        self.thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)

    def give(self, task: _Runnable | None) -> None:
        """Wakes it with a task, or with None to end."""
        self._given = task
        self._signal.release()

    def wait(self) -> _Runnable | None:
        """Returns what it is given; holds nothing of it."""
        self._signal.acquire()
        given, self._given = self._given, None
        return given


class CallThreads(Executor):
    """As many threads as calls need at once, started as they are needed; one at the beginning.

    Raises RuntimeError where the system has no thread for that one.

    Args:
        most: threads; calls beyond them wait in order.
        name: what threads are named after.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[_Thread] = []
        # The last one became idle last. Empty while calls wait.
        self._idle: list[_Thread] = []
        self._waiting: deque[_Runnable] = deque()
        self._ended = False
        self._idle.append(self._start())

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs a call in one of the threads. Raises RuntimeError after ``shutdown``."""
        task = _Task(partial(fn, *args, **kwargs))
        with self._lock:
            if self._ended:
                raise RuntimeError("the threads have been ended")
            thread = self._idle.pop() if self._idle else self._another()
            if thread is None:
                self._waiting.append(task)
                return task
        thread.give(task)
        return task

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the threads once the calls that were submitted have ended."""
        with self._lock:
            self._ended = True
            if cancel_futures:
                self._waiting.clear()
            idle, self._idle = self._idle, []
        for each in idle:
            each.give(None)
        if wait:
            for each in self._threads:
                each.thread.join()

    def _another(self) -> _Thread | None:
        """Starts one more thread; None where there may be no more, or the system has none."""
        if len(self._threads) >= self._most:
            return None
        try:
            return self._start()
        except (RuntimeError, MemoryError):
            # Raised from here it would end gRPC's own thread, and with it the server.
            _log.warning("no more threads", threads=len(self._threads))
            return None

    def _start(self) -> _Thread:
        made = _Thread(self._work, f"{self._name}_{len(self._threads)}")
        made.thread.start()
        self._threads.append(made)
        return made

    def _work(self, me: _Thread) -> None:
        task = me.wait()
        while task is not None:
            task.run()
            # Not kept while the thread is idle: it holds the call's request.
            del task
            task = self._next(me)

    def _next(self, me: _Thread) -> _Runnable | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._ended:
                return None
            self._idle.append(me)
        return me.wait()
