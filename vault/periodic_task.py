"""A background thread that does one thing again and again.

Everything that repeats is one of these, whether it works at a fixed interval (the reaper), keeps
something fresh and backs off while that fails (keys, logins), or is woken early (the policy file).
It logs nothing itself: its owner says in its own words what failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["PeriodicTask"]


class PeriodicTask:
    """Runs ``work`` in a thread of its own, with a pause before each round.

    A round that raises ends neither the thread nor goes unseen. Threads may share a task.

    Args:
        name: the thread's name.
        work: one round.
        pause: seconds until the next round; or a function that returns them, given how many
            rounds have failed in a row.
        failed: called with what a round raised, and how many rounds have now failed in a row.
        recovered: called after a good round with how many before it had failed, if any had.
        due: returns, once the pause is over, whether there is something to do. A round that
            is skipped neither failed nor succeeded.
        at_start: runs the first round without a pause.
        at_end: runs one more round when the task is stopped.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        pause: float | Callable[[int], float],
        *,
        failed: Callable[[Exception, int], None],
        recovered: Callable[[int], None] = lambda _: None,
        due: Callable[[], bool] = lambda: True,
        at_start: bool = False,
        at_end: bool = False,
    ) -> None:
        self._name = name
        self._work = work
        self._pause = pause
        self._failed = failed
        self._recovered = recovered
        self._due = due
        self._at_start = at_start
        self._at_end = at_end
        self._failures = 0
        self._wake = threading.Event()
        self._stopping = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called; a long round ends early then."""
        return self._stopping

    def start(self) -> None:
        """Starts the thread, once; a task that was stopped stays stopped."""
        with self._starting:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Ends the pause now. Safe in a signal handler."""
        self._wake.set()

    def stop(self, timeout: float | None = None) -> None:
        """Stops the thread; waits for the round under way, at most for ``timeout`` seconds."""
        with self._starting:
            self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def run_once(self) -> None:
        """Runs one round in the caller's thread."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - the next round may succeed
            self._failures += 1
            self._failed(error, self._failures)
        else:
            failures, self._failures = self._failures, 0
            if failures:
                self._recovered(failures)

    def _run(self) -> None:
        pause = 0.0 if self._at_start else self._next_pause()
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping:
                break
            if self._due():
                self.run_once()
            pause = self._next_pause()
        if self._at_end:
            self.run_once()

    def _next_pause(self) -> float:
        return self._pause(self._failures) if callable(self._pause) else self._pause
