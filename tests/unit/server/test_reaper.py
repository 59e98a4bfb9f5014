"""The reaper's thread: it goes on, whatever a turn runs into, and says so once."""

from __future__ import annotations

import threading

import pytest

from vault.errors import StoreUnavailable
from vault.server.reaper import Reaper

CANARY = "4111111111111111"


def test_a_turn_takes_batches_until_nothing_is_left() -> None:
    left, counted = [5, 5, 2, 0, 9], list[int]()
    Reaper(lambda: left.pop(0), 60, counted.append).run_once()
    assert counted == [5, 5, 2]
    assert left == [9]


def test_failures_are_told_once_without_their_text(capsys: pytest.CaptureFixture[str]) -> None:
    def away() -> int:
        raise errors[0]

    errors: list[Exception] = [StoreUnavailable("the database is unavailable")]
    reaper = Reaper(away, 60, lambda _: None)
    reaper.run_once()
    reaper.run_once()
    told = "".join(capsys.readouterr())
    assert told.count("expired tokens not reaped") == 1
    assert "the database is unavailable" in told
    errors[0] = ValueError(CANARY)
    reaper.run_once()
    told = "".join(capsys.readouterr())
    assert "ValueError" in told
    assert CANARY not in told


def test_the_thread_survives_failures_and_ends_when_told() -> None:
    turns, third = list[int](), threading.Event()

    def fails() -> int:
        turns.append(1)
        if len(turns) == 3:
            third.set()
        raise StoreUnavailable("away")

    reaper = Reaper(fails, 0.01, lambda _: None)
    reaper.start()
    assert third.wait(10)
    reaper.stop()
    done = len(turns)
    assert not third.wait(0) or len(turns) == done
    assert not reaper._task.running


def test_stopping_ends_a_long_turn_after_the_batch_at_hand() -> None:
    begun = threading.Event()

    def endless() -> int:
        begun.set()
        return 1

    reaper = Reaper(endless, 60, lambda _: None)
    reaper.start()
    assert begun.wait(10)
    reaper.stop()
    assert not reaper._task.running
