"""Calls that wait for one another: none is left waiting, whoever gives up."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import cast

import pytest
from sqlalchemy import Engine

from vault.model import TokenSpace
from vault.server.sharing import shared_lookups
from vault.server.sharing.leadership import Member, State, resolve_all
from vault.server.sharing.shared_lookups import SharedLookups
from vault.store.found import NO_TOKENS
from vault.store.lookups import Lookup

SECONDS = 20


def members(count: int) -> Sequence[Member[str]]:
    return [Member(None) for _ in range(count)]


def soon() -> float:
    return time.monotonic() + SECONDS


def test_each_is_woken_with_its_own_result() -> None:
    waiting = members(16)
    with ThreadPoolExecutor(16) as pool:
        ended = [pool.submit(each.wait, soon()) for each in waiting]
        resolve_all(waiting, [str(at) for at in range(16)])
        assert all(each.result() for each in ended)
    assert [each.result for each in waiting] == [str(at) for at in range(16)]


def test_who_has_given_up_holds_nobody_up() -> None:
    waiting = members(5)
    assert not any(waiting[at].wait(0) for at in (0, 2, 3))
    resolve_all(waiting, 5 * ["done"])
    assert waiting[1].wait(soon())
    assert waiting[4].wait(soon())


def test_who_comes_back_finds_its_result() -> None:
    waiting = members(3)
    assert not waiting[1].wait(0)
    resolve_all(waiting, 3 * ["done"])
    assert waiting[0].wait(soon())
    assert waiting[1].wait(0)
    assert waiting[2].wait(0)


def test_who_gives_up_in_the_moment_that_it_is_woken_wakes_the_next() -> None:
    random = Random(1)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(200):
            waiting = members(8)
            ready = threading.Barrier(9)

            def wait(each: Member[str], seconds: float, ready: threading.Barrier = ready) -> bool:
                ready.wait()
                return each.wait(time.monotonic() + seconds) or each.wait(soon())

            pauses = [random.choice([0, 0.0001, 0.0005]) for _ in waiting]
            ended = [pool.submit(wait, *pair) for pair in zip(waiting, pauses, strict=True)]
            ready.wait()
            resolve_all(waiting, 8 * [State.DONE])
            assert all(each.result(SECONDS) for each in ended)


def test_nothing_is_kept_of_who_waited() -> None:
    waiting = members(3)
    resolve_all(waiting, 3 * ["done"])
    assert all(each.wait(soon()) for each in waiting)
    assert [each.unlink() for each in waiting] == 3 * [None]


class HandsOver(SharedLookups):
    """Whoever leads hands over just when somebody has given up, and has not said so yet."""

    def _withdraw(self, me: shared_lookups._Asking) -> State | None:
        self._hand_over()
        return super()._withdraw(me)


def test_who_is_to_lead_when_giving_up_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_lookups, "PATIENCE", 0)
    monkeypatch.setattr(shared_lookups, "look_up_all", lambda *_: [NO_TOKENS])
    lookups = HandsOver(cast("Engine", None))
    assert lookups._try_to_lead()
    assert lookups.find(Lookup(TokenSpace("default", "card"), [b"token"]), None) is NO_TOKENS
    assert lookups._try_to_lead(), "nobody leads, and nobody may"
