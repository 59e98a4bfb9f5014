"""Servers that agree on a policy, in a real Postgres."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.transaction_appender import transaction_appender
from vault.errors import AuditUnavailable
from vault.model import PolicyChange
from vault.postgres.transaction import OpenTransaction
from vault.store.policy_coordinator import AuthenticatedPolicy, PolicyCoordinator

if TYPE_CHECKING:
    from tests.integration.conftest import Owner

MakeBoard = Callable[..., PolicyCoordinator]


def sealed(document: str) -> AuthenticatedPolicy:
    digest = hashlib.sha256(document.encode()).hexdigest()
    return AuthenticatedPolicy(digest, document, 1, digest.encode()[:32])


OLD, NEW = sealed("old"), sealed("new")


@pytest.fixture
def changes() -> list[PolicyChange]:
    """What was recorded, also by transactions that were then run again."""
    return []


@pytest.fixture
def board(engine: Engine, chain_heads: ChainHeadPool, changes: list[PolicyChange]) -> MakeBoard:
    def make(name: str, tenant: str = "default") -> PolicyCoordinator:
        def record(opened: OpenTransaction, change: PolicyChange) -> None:
            changes.append(change)
            transaction_appender(opened, chain_heads).append_policy_change(change)

        return PolicyCoordinator(engine, tenant, uuid4(), name, record)

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


def recorded(owner: Owner) -> list[dict[str, object]]:
    rows = owner.execute("SELECT body FROM audit_records ORDER BY body::jsonb ->> 'time'")
    bodies = [json.loads(str(body)) for (body,) in rows]
    return [body for body in bodies if body["kind"] == "policy"]


def test_what_comes_into_force_is_one_audit_record_for_all_servers(
    board: MakeBoard, owner: Owner
) -> None:
    a, b, c = board("a:1"), board("b:1"), board("c:1")
    for _ in range(3):
        for each in (a, b, c):
            each.report(OLD)
    (first,) = recorded(owner)
    assert (first["previous_policy_digest"], first["policy_digest"]) == ("", OLD.digest)
    assert first["servers"] == ["a:1"]
    a.report(NEW)
    b.report(NEW)
    assert len(recorded(owner)) == 1
    for _ in range(3):
        for each in (c, b, a):
            each.report(NEW)
    _, second = recorded(owner)
    assert (second["previous_policy_digest"], second["policy_digest"]) == (OLD.digest, NEW.digest)
    assert second["servers"] == ["a:1", "b:1", "c:1"]
    assert second["server_count"] == 3


def test_a_policy_whose_record_cannot_be_written_does_not_come_into_force(
    board: MakeBoard, owner: Owner
) -> None:
    a = board("a:1")
    a.report(OLD)
    owner.execute("ALTER TABLE audit_records RENAME TO elsewhere")
    with pytest.raises(AuditUnavailable):
        a.report(NEW)
    assert owner.execute("SELECT digest FROM policy_state").fetchone() == (OLD.digest,)
    owner.execute("ALTER TABLE elsewhere RENAME TO audit_records")
    assert a.report(NEW).in_force == NEW
    assert [each["policy_digest"] for each in recorded(owner)] == [OLD.digest, NEW.digest]


def test_what_the_databases_owner_writes_beside_it_does_not_get_into_the_record(
    board: MakeBoard, owner: Owner
) -> None:
    a, b = board("a:1"), board("4111 1111 1111 1111")
    a.report(OLD)
    b.report(OLD)
    owner.execute("UPDATE policy_state SET digest = repeat('Jane Doe', 8)")
    a.report(NEW)
    b.report(NEW)
    record = recorded(owner)[-1]
    assert record["previous_policy_digest"] == "unreadable"
    assert record["servers"] == ["unreadable", "a:1"]


def test_an_agreement_says_since_when_and_who_holds_what(board: MakeBoard) -> None:
    a, b = board("a"), board("b")
    first = a.report(OLD)
    waiting = b.report(NEW)
    assert waiting.since == first.since is not None
    assert waiting.servers == (("a", OLD.digest), ("b", NEW.digest))
    after = a.report(NEW).since
    assert after is not None
    assert after > first.since


def test_a_crowd_of_servers_hides_none_that_holds_out(board: MakeBoard, owner: Owner) -> None:
    a = board("a:1")
    a.report(OLD)
    owner.execute(
        "INSERT INTO policy_servers (tenant, server, name, digest, seen)"
        " SELECT 'default', gen_random_uuid(), repeat('n', 100000), %s, now()"
        " FROM generate_series(1, 3000)",
        [NEW.digest],
    )
    owner.execute(
        "INSERT INTO policy_servers (tenant, server, name, digest, seen)"
        " VALUES ('default', gen_random_uuid(), 'zzz', %s, now())",
        [OLD.digest],
    )
    agreement = a.report(NEW)
    assert (agreement.in_force, agreement.others) == (OLD, ("zzz",))
    assert len(agreement.servers) == 1000
    assert max(len(name) for name, _ in agreement.servers) <= 160


@pytest.mark.parametrize("since", ["infinity", "-infinity", "20000-01-01", "0001-01-01 BC"])
def test_a_time_that_nobody_can_read_stops_no_server(
    board: MakeBoard, owner: Owner, since: str
) -> None:
    a = board("a:1")
    a.report(OLD)
    owner.execute("UPDATE policy_state SET since = %s", [since])
    agreement = a.report(OLD)
    assert (agreement.in_force, agreement.since) == (OLD, None)
