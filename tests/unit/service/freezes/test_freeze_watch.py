"""What a process knows of freezes, whatever the database's owner does to the rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.service.conftest import FixedKeys
from vault.errors import Reason, TokenvaultError
from vault.model import Caller, FreezeTarget, Principal
from vault.service.freezes.model import Freeze
from vault.service.freezes.rows import FreezeRows
from vault.service.freezes.watch import FreezeWatch
from vault.service.ports import FreezeRow

TARGET = FreezeTarget.of_principal("spiffe://example.org/a")
CALLER = Caller(Principal("spiffe", "spiffe://example.org/a"), "peer", "01", "r-1")
SINCE = datetime(2026, 11, 28, tzinfo=UTC)
ROWS = FreezeRows(FixedKeys())


class Watched:
    def __init__(self) -> None:
        self.now = 0.0
        self.refused: list[str] = []
        self.watch = FreezeWatch(
            ROWS, lambda _, why: self.refused.append(why), clock=lambda: self.now
        )

    def look(self, *rows: FreezeRow) -> None:
        self.now += 1
        self.watch.refresh(rows, self.now)

    def answer(self) -> Reason | None:
        try:
            self.watch.check(CALLER)
        except TokenvaultError as error:
            return error.reason
        return None


def row(minutes: int, *, frozen: bool) -> FreezeRow:
    return ROWS.written(Freeze("default", TARGET, frozen, SINCE + timedelta(minutes=minutes)))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_nothing_is_answered_before_the_first_look_or_long_after_the_last(
    watched: Watched,
) -> None:
    assert watched.answer() is Reason.STORE_UNAVAILABLE
    watched.look()
    assert watched.answer() is None
    watched.now += 15
    assert watched.answer() is None
    watched.now += 1
    assert watched.answer() is Reason.STORE_UNAVAILABLE


def test_a_freeze_that_is_gone_holds_and_is_reported_once(watched: Watched) -> None:
    watched.look(row(0, frozen=True))
    watched.look()
    watched.look()
    assert watched.answer() is Reason.PRINCIPAL_FROZEN
    assert watched.refused == ["is gone"]


def test_a_row_put_back_from_before_the_freeze_lifts_nothing(watched: Watched) -> None:
    watched.look(row(0, frozen=False))
    watched.look(row(1, frozen=True))
    for _ in range(2):
        watched.look(row(0, frozen=False))
    assert watched.answer() is Reason.PRINCIPAL_FROZEN
    assert watched.refused == ["is older than this server knows it"]
    watched.look(row(2, frozen=False))
    assert watched.answer() is None


def test_a_row_put_back_from_before_a_touch_is_reported(watched: Watched) -> None:
    free = Freeze("default", TARGET, changed=SINCE, touched=3)
    watched.look(ROWS.written(free))
    watched.look(ROWS.written(replace(free, touched=2)))
    assert watched.refused == ["is older than this server knows it"]
    assert watched.answer() is None
    later = SINCE + timedelta(minutes=1)
    watched.look(ROWS.written(replace(free, touched=0, changed=later)))
    watched.look(ROWS.written(replace(free, touched=1, changed=later)))
    assert len(watched.refused) == 1


@pytest.mark.parametrize(
    "forged",
    [
        replace(row(1, frozen=True), frozen=False),
        replace(row(1, frozen=False), key_version=7, mac=bytes(32)),
        replace(row(1, frozen=False), document="{}"),
    ],
)
def test_a_row_that_is_not_ours_freezes(watched: Watched, forged: FreezeRow) -> None:
    watched.look(forged)
    assert watched.answer() is Reason.PRINCIPAL_FROZEN
    assert watched.refused == ["was not written by a server"]


def test_another_s_row_is_not_taken(watched: Watched) -> None:
    other = Freeze("default", FreezeTarget.of_principal("other"), False, SINCE)
    watched.look(replace(ROWS.written(other), name=TARGET.name))
    assert watched.answer() is Reason.PRINCIPAL_FROZEN


def test_a_look_that_began_before_a_change_takes_nothing_back(watched: Watched) -> None:
    watched.look()
    began = watched.now
    watched.now += 1
    freeze = Freeze("default", TARGET, frozen=True, changed=SINCE)
    watched.watch.note(freeze, ROWS.written(freeze))
    watched.watch.refresh((), began)
    assert (watched.answer(), watched.refused) == (Reason.PRINCIPAL_FROZEN, [])


def test_who_is_held_stays_so_when_earlier_touches_are_counted(watched: Watched) -> None:
    watched.look()
    watched.watch.hold(TARGET)
    counted = Freeze("default", TARGET, touched=1)
    watched.watch.note(counted, ROWS.written(counted))
    assert watched.answer() is Reason.PRINCIPAL_FROZEN
    frozen = replace(counted, frozen=True, changed=SINCE)
    watched.watch.note(frozen, ROWS.written(frozen))
    lifted = replace(frozen, frozen=False, changed=SINCE + timedelta(minutes=1))
    watched.watch.note(lifted, ROWS.written(lifted))
    assert watched.answer() is None


def test_another_process_lifts_what_is_held_beside_a_row_that_is_not_ours(
    watched: Watched,
) -> None:
    watched.look(replace(row(1, frozen=False), mac=bytes(32)))
    watched.watch.hold(TARGET)
    watched.look(row(2, frozen=False))
    assert watched.answer() is None
