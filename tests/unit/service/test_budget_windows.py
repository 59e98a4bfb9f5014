"""Sliding windows: never more than they say in any interval, and when more comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vault.service.budget_windows import Window, charged, read_windows, write_windows

HOUR, DAY = 3600, 86_400
SECOND = 1_000_000
NOW = 1_795_000_000 * SECOND


def after(seconds: float) -> int:
    return NOW + int(seconds * SECOND)


def count(windows: dict[int, Window], values: int, now: int, *lengths: int) -> dict[int, Window]:
    return charged(windows, frozenset(lengths), values, now)


def test_values_add_up_and_leave_after_their_window() -> None:
    windows = count({}, 7, NOW, HOUR)
    windows = count(windows, 5, after(1800), HOUR)
    assert windows[HOUR].used == 12
    assert windows[HOUR].at(after(HOUR)).used == 12
    assert windows[HOUR].at(after(HOUR * 1.05)).used == 5
    assert windows[HOUR].at(after(1800 + HOUR * 1.05)).used == 0
    assert windows[HOUR].at(after(100 * HOUR)).used == 0


def test_time_that_runs_backwards_forgets_nothing() -> None:
    windows = count({}, 7, NOW, HOUR)
    assert windows[HOUR].at(after(-5 * HOUR)) == windows[HOUR]
    assert count(windows, 1, after(-5 * HOUR), HOUR)[HOUR].used == 8


def test_it_is_told_when_enough_is_free() -> None:
    windows = count(count({}, 7, NOW, HOUR), 5, after(1800), HOUR)
    now = after(2000)
    window = windows[HOUR].at(now)
    for values in (1, 7, 8, 12):
        wait = window.until_freed(values, now)
        freed = window.used - window.at(now + int(wait * SECOND)).used
        before = window.used - window.at(now + int(wait * SECOND) - 1).used
        assert before < values <= freed
        assert wait <= HOUR * 1.05


@given(st.lists(st.tuples(st.integers(0, 5 * HOUR), st.integers(1, 9)), max_size=60))
def test_no_interval_has_more_than_the_window_says(charges: list[tuple[int, int]]) -> None:
    most = 20
    windows: dict[int, Window] = {}
    granted: list[tuple[int, int]] = []
    for seconds, values in sorted(charges):
        tried = count(windows, values, after(seconds), HOUR)
        if tried[HOUR].used <= most:
            windows = tried
            granted.append((seconds, values))
    for end, _ in granted:
        assert sum(values for at, values in granted if end - HOUR < at <= end) <= most


@given(st.lists(st.tuples(st.integers(0, 3 * DAY), st.integers(1, 9)), max_size=40))
def test_another_window_begins_with_what_is_known(charges: list[tuple[int, int]]) -> None:
    windows: dict[int, Window] = {}
    times = sorted(charges)
    for seconds, values in times:
        windows = count(windows, values, after(seconds), DAY)
    now = times[-1][0] if times else 0
    shorter = count(windows, 0, after(now), HOUR)[HOUR].used
    longer = count(windows, 0, after(now), 7 * DAY)[7 * DAY].used
    assert shorter >= sum(values for at, values in times if at > now - HOUR)
    assert longer >= sum(values for at, values in times if at > now - DAY)


def test_a_window_that_nobody_asks_for_stays_until_it_is_empty() -> None:
    windows = count(count({}, 7, NOW, HOUR), 5, after(60), DAY)
    assert {seconds: each.used for seconds, each in windows.items()} == {HOUR: 12, DAY: 12}
    assert count(windows, 1, after(2 * HOUR), DAY).keys() == {DAY}


def test_what_is_written_is_read_again() -> None:
    windows = count(count({}, 7, NOW, HOUR, DAY), 5, after(1800), HOUR)
    assert read_windows(write_windows(windows)) == windows
