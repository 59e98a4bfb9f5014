"""What every background thread has in common: when it runs, and that nothing ends it but stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from vault.periodic_task import PeriodicTask


class Work:
    """Raises what is prepared, and says when it has run so many times."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.rounds = 0
        self.failures: list[tuple[str, int]] = []
        self.recoveries: list[int] = []

    def __call__(self) -> None:
        self.rounds += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    def failed(self, error: Exception, failures: int) -> None:
        self.failures.append((type(error).__name__, failures))

    def task(self, pause: float | Callable[[int], float] = 0.001, **options: bool) -> PeriodicTask:
        return PeriodicTask(
            "test",
            self,
            pause,
            failed=self.failed,
            recovered=self.recoveries.append,
            **options,  # type: ignore[arg-type]
        )


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_failures_end_no_thread_and_are_counted_in_a_row() -> None:
    work = Work(None, ValueError(), KeyError(), None, OSError(), None)
    task = work.task()
    task.start()
    eventually(lambda: work.rounds > 6)
    task.stop()
    assert not task.running
    assert work.failures == [("ValueError", 1), ("KeyError", 2), ("OSError", 1)]
    assert work.recoveries == [2, 1]
    rounds = work.rounds
    time.sleep(0.02)
    assert work.rounds == rounds


def test_the_pause_follows_the_failures_in_a_row() -> None:
    asked: list[int] = []

    def pause(failures: int) -> float:
        asked.append(failures)
        return 0.001

    work = Work(ValueError(), ValueError())
    task = work.task(pause)
    task.start()
    eventually(lambda: work.rounds > 3)
    task.stop()
    assert asked[:4] == [0, 1, 2, 0]


def test_the_first_round_comes_after_a_pause_unless_asked_for_at_once() -> None:
    patient, eager = Work(), Work()
    tasks = [patient.task(3600.0), eager.task(3600.0, at_start=True)]
    for task in tasks:
        task.start()
    eventually(lambda: eager.rounds == 1)
    for task in tasks:
        task.stop()
    assert (patient.rounds, eager.rounds) == (0, 1)


def test_a_last_round_runs_at_the_end_where_asked_for() -> None:
    work = Work()
    task = work.task(3600.0, at_end=True)
    task.start()
    task.stop()
    assert work.rounds == 1


def test_waking_ends_the_pause() -> None:
    work = Work()
    task = work.task(3600.0)
    task.start()
    task.wake()
    eventually(lambda: work.rounds == 1)
    task.stop()


def test_a_round_that_is_not_due_counts_neither_way() -> None:
    work, looks = Work(ValueError()), list[int]()

    def due() -> bool:
        looks.append(1)
        return len(looks) == 1

    task = PeriodicTask(
        "test", work, 0.001, failed=work.failed, recovered=work.recoveries.append, due=due
    )
    task.start()
    eventually(lambda: len(looks) > 3)
    task.stop()
    assert work.rounds == 1
    assert work.recoveries == []


def test_it_starts_once_and_not_after_its_end() -> None:
    work = Work()
    task = work.task(3600.0, at_start=True)
    task.start()
    task.start()
    eventually(lambda: work.rounds == 1)
    task.stop()
    task.start()
    assert not task.running
    assert work.rounds == 1


def test_stopping_waits_for_a_round_no_longer_than_asked() -> None:
    begun, release = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(10)

    task = PeriodicTask("test", hang, 3600.0, failed=lambda *_: None, at_start=True)
    task.start()
    assert begun.wait(10)
    task.stop(0.0)
    assert task.stopping
    assert task.running
    release.set()
    task.stop()
    assert not task.running


def test_what_no_round_may_raise_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        PeriodicTask("test", _interrupt, 1.0, failed=lambda *_: None).run_once()


def _interrupt() -> None:
    raise KeyboardInterrupt
