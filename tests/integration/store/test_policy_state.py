"""Servers that agree on a policy, in a real Postgres."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from vault.store.policy_state import PolicyBoard, SealedPolicy

if TYPE_CHECKING:
    from tests.integration.store.conftest import Owner

MakeBoard = Callable[..., PolicyBoard]


def sealed(document: str) -> SealedPolicy:
    digest = hashlib.sha256(document.encode()).hexdigest()
    return SealedPolicy(digest, document, 1, digest.encode()[:32])


OLD, NEW = sealed("old"), sealed("new")


@pytest.fixture
def board(engine: Engine) -> MakeBoard:
    def make(name: str, tenant: str = "default") -> PolicyBoard:
        return PolicyBoard(engine, tenant, uuid4(), name)

    return make


def silence(owner: Owner, name: str) -> None:
    owner.execute(
        "UPDATE policy_servers SET seen = seen - interval '16 seconds' WHERE name = %s", [name]
    )


def test_the_first_policy_is_in_force_at_once(board: MakeBoard) -> None:
    agreement = board("a").report(OLD)
    assert agreement.in_force == OLD
    assert agreement.others == ()


def test_a_policy_comes_into_force_once_all_have_it(board: MakeBoard) -> None:
    a, b, c = board("a"), board("b"), board("c")
    for each in (a, b, c):
        each.report(OLD)
    assert a.report(NEW).others == ("b", "c")
    assert b.report(NEW).others == ("c",)
    assert [each.report(held).in_force for each, held in ((a, NEW), (b, NEW), (c, OLD))] == [
        OLD
    ] * 3
    agreement = c.report(NEW)
    assert (agreement.in_force, agreement.others) == (NEW, ())
    assert a.report(NEW).in_force == NEW


def test_a_newcomer_is_told_what_is_in_force(board: MakeBoard) -> None:
    board("a").report(OLD)
    newcomer = board("b").report(NEW)
    assert newcomer.in_force == OLD
    assert newcomer.in_force.document == "old"
    assert newcomer.others == ("a",)


def test_who_has_left_is_not_waited_for(board: MakeBoard) -> None:
    a, b = board("a"), board("b")
    a.report(OLD)
    b.report(OLD)
    assert a.report(NEW).in_force == OLD
    b.leave()
    assert a.report(NEW).in_force == NEW


def test_who_is_silent_is_not_waited_for_and_learns_of_it(board: MakeBoard, owner: Owner) -> None:
    a, b = board("a"), board("b")
    a.report(OLD)
    b.report(OLD)
    silence(owner, "b")
    assert a.report(NEW).in_force == NEW
    late = b.report(OLD)
    assert (late.in_force, late.others) == (NEW, ("a",))


def test_ones_own_silence_is_over_with_the_report(board: MakeBoard, owner: Owner) -> None:
    a = board("a")
    a.report(OLD)
    silence(owner, "a")
    assert a.report(NEW).in_force == NEW
    assert owner.execute("SELECT count(*) FROM policy_servers").fetchone() == (1,)


def test_tenants_agree_apart(board: MakeBoard) -> None:
    board("a").report(OLD)
    assert board("b", "another").report(NEW).in_force == NEW


def test_reports_at_once_end_in_one_policy(board: MakeBoard) -> None:
    boards = [board(str(number)) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        first = list(pool.map(lambda each: each.report(OLD).in_force, boards))
        list(pool.map(lambda each: each.report(NEW), boards))
        last = list(pool.map(lambda each: each.report(NEW).in_force, boards))
    assert first == [OLD] * 6
    assert last == [NEW] * 6
