"""Retention in a real Postgres: what is dropped and stays, crashes, races, a dishonest owner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import cast

import psycopg
import pytest
from sqlalchemy import Engine, event

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.checkpoint import CheckpointLog
from vault.audit.integrator import Integrator
from vault.audit.memory import RememberedAudit
from vault.audit.pruning import prune as pruning
from vault.audit.pruning.planning import Plan
from vault.audit.pruning.prune import AuditPruner, Pruned
from vault.audit.queries import PostgresAuditQueries
from vault.audit.reading import PostgresAuditReader
from vault.audit.transaction_appender import transaction_appender
from vault.crypto.field_key import MacKey
from vault.dev.postgres import OWNER, Database
from vault.errors import AuditUnavailable, ConfigError, DecryptionFailed
from vault.model import Action, AuditEvent, ChargedBudget, PolicyChange, TokenSpace
from vault.postgres.engine import make_engine
from vault.postgres.transaction import transaction
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.audit import AuditSearch
from vault.service.audit_filter import AuditFilter
from vault.service.budgets import TABLE, counter_cells
from vault.service.ports import BudgetCounter, BudgetKey

Owner = psycopg.Connection[tuple[object, ...]]
KEY = MacKey(1, b"1" * 32)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})
READ = replace(EVENT, field="f", budget=ChargedBudget(Action.DETOKENIZE, "full"), counts={"ok": 10})
ERASE = replace(EVENT, rpc="Erase", field="f")
OPERATOR = "somebody@somewhere as owner"


def key_of(version: int) -> MacKey:
    if version != 1:
        raise DecryptionFailed
    return KEY


@dataclass
class Audit:
    """A server that writes and integrates, and an operator who prunes."""

    engine: Engine
    chain_heads: ChainHeadPool
    as_owner: Engine

    def __post_init__(self) -> None:
        self.pruner = AuditPruner(self.engine, self.as_owner, KEY, key_of)
        self.work = PostgresUnitOfWork(self.engine, self.chain_heads)
        clock = iter(range(0, 10**9, 60)).__next__  # it looks itself, whoever works
        self._integrator = Integrator(self.engine, lambda: KEY, key_of, clock=clock)
        self.reader = PostgresAuditReader(self.engine, key_of, self._remembered)

    def _remembered(self) -> RememberedAudit:
        return RememberedAudit(self.chain_heads.last_committed(), self._integrator.last_log())

    def call(self, times: int = 1, event: AuditEvent = EVENT) -> None:
        for _ in range(times):
            self.work.run(lambda transaction: transaction.audit.append(event))

    def integrate(self) -> int:
        return self._integrator.integrate().integrated

    def log(self) -> CheckpointLog:
        """As a checkpoint kept elsewhere has it."""
        return self.reader.log()[0]

    def now(self) -> datetime:
        return self.pruner.now()

    def prune(self, before: datetime | None = None) -> Pruned:
        return self.pruner.prune(before or self.now(), self.log(), OPERATOR)

    def found(self) -> list[tuple[str, str]]:
        return [(each.kind, each.message) for each in self.reader.verify().findings]


@pytest.fixture
def audit(database: Database) -> Iterator[Audit]:
    service = make_engine(database.service_url, pool_size=4)
    owner = make_engine(database.owner_url, pool_size=4)
    yield Audit(service, ChainHeadPool("a", lambda: KEY), owner)
    service.dispose()
    owner.dispose()


def bodies(owner: Owner) -> list[tuple[str, int]]:
    """Kind and number of each record that is there, the pruner's own chains left out."""
    rows = owner.execute(
        "SELECT body FROM audit_records WHERE body NOT LIKE '%tokenvault-audit-prune%'"
        " ORDER BY writer, number"
    )
    read = [json.loads(cast("str", body)) for (body,) in rows]
    return [(each.get("rpc") or each["kind"], each["number"]) for each in read]


def test_records_of_calls_go_and_all_else_holds(audit: Audit, owner: Owner) -> None:
    owner.execute(
        "INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter,"
        " state) VALUES ('default', 'f', 'gone', 'field', 'random', 1, 0, 'erased')"
    )
    audit.call(3)
    audit.work.run(lambda each: each.audit.append(ERASE, ["gone"]))
    with transaction(audit.engine) as opened:
        appender = transaction_appender(opened, audit.chain_heads)
        appender.append_policy_change(PolicyChange("", "a" * 64, ("s",)))
    audit.call(3)
    audit.integrate()
    before, kept = audit.now(), audit.log()
    audit.call(4)
    audit.integrate()

    done = audit.prune(before)

    declared = done.plan.pruning
    assert declared is not None
    assert (declared.position, declared.records, declared.kept) == (9, 6, 3)
    assert (declared.root, done.dropped) == (kept.root, 6)
    assert bodies(owner) == [
        ("opened", 1),
        ("Erase", 5),
        ("policy", 6),
        *(("Tokenize", number) for number in (10, 11, 12, 13)),
    ]
    assert audit.found() == []
    assert audit.reader.quick_check(()) == ([], {})
    # Nothing of the log changed: what was proved is proved.
    assert audit.reader.prove(3, 9).inclusion
    assert audit.reader.tree(9).root() == kept.root
    pruned = [each.entry.position for each in audit.reader.page(1, 99).records if each.pruned]
    assert pruned == [2, 3, 4, 7, 8, 9]
    # The act itself is in the log, by whom and how much.
    body = json.loads(audit.reader.page(0, 1).records[0].record.body)  # type: ignore[union-attr]
    assert (body["kind"], body["operator"], body["records"]) == ("pruned", OPERATOR, 6)
    # The server goes on, and nothing more is found when asked again.
    audit.call(3)
    assert audit.integrate() == 3
    again = audit.prune(before)
    assert (again.plan.pruning, again.plan.position, again.dropped) == (None, 9, 0)
    assert audit.found() == []


def test_the_last_two_records_of_a_chain_stay_for_who_knows_them(
    audit: Audit, owner: Owner
) -> None:
    audit.call(5)
    audit.integrate()
    assert audit.prune().dropped == 3
    assert bodies(owner) == [("opened", 1), ("Tokenize", 5), ("Tokenize", 6)]
    assert audit.reader.quick_check(())[0] == []
    audit.call(1)
    audit.integrate()
    # What had to stay goes with the next pruning; so does the pruning before, as it is a record.
    assert audit.prune().dropped == 1
    assert bodies(owner) == [("opened", 1), ("Tokenize", 6), ("Tokenize", 7)]
    assert audit.found() == []


def test_a_search_leaves_out_what_was_pruned(audit: Audit) -> None:
    audit.call(5)
    audit.integrate()
    audit.prune()
    queries = PostgresAuditQueries(audit.reader, lambda: KEY, key_of)
    found = queries.search(AuditSearch(1, 10, wanted=AuditFilter(principals={"p"})))
    assert [each.position for each in found.records] == [5, 6]
    one = AuditFilter(writer=found.records[0].writer, number=3)
    (record,) = queries.search(AuditSearch(0, 10, wanted=one)).records
    assert (record.position, record.pruned, record.body) == (3, True, "")
    assert not any(each.pruned for each in queries.tail(1, 1).records)


def test_an_interrupted_pruning_is_finished_by_the_next(
    audit: Audit, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    _keep_counter(owner, total=60)
    audit.call(6, READ)
    audit.integrate()
    before = audit.now()
    audit.call(2)
    audit.integrate()
    monkeypatch.setattr(pruning, "_BATCH", 3)
    statements = count(1)

    def lose_connection(*context: object) -> None:
        if str(context[2]).lstrip().startswith("DELETE") and next(statements) == 2:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE usename = '{OWNER}' AND datname = current_database()"
            )

    event.listen(audit.as_owner, "before_cursor_execute", lose_connection)
    with pytest.raises(AuditUnavailable):
        audit.prune(before)
    event.remove(audit.as_owner, "before_cursor_execute", lose_connection)
    assert [number for _, number in bodies(owner)] == [1, 4, 5, 6, 7, 8, 9]
    # What is still there is counted once, not with the sums as well.
    assert audit.found() == []
    done = audit.prune(before)
    assert (done.plan.pruning, done.dropped) == (None, 4)
    assert audit.found() == []


def test_of_two_prunings_at_once_one_is_refused(audit: Audit) -> None:
    audit.call(5)
    audit.integrate()
    log, before = audit.log(), audit.now()

    def attempt(_: int) -> int:
        try:
            return audit.pruner.prune(before, log, OPERATOR).dropped
        except ConfigError:
            return 0

    def meanwhile(_: Plan) -> None:
        with pytest.raises(ConfigError, match="another pruning is under way"):
            audit.pruner.prune(before, log, OPERATOR)

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(attempt, range(3))) == 3
    assert audit.found() == []
    audit.pruner.prune(before, log, OPERATOR, meanwhile)


def test_what_is_not_in_order_is_not_pruned(audit: Audit, owner: Owner) -> None:
    audit.call(5)
    audit.integrate()
    log = audit.log()
    audit.call(2)
    with pytest.raises(ConfigError, match="no place in the log yet"):
        audit.pruner.prune(audit.now(), log, OPERATOR)
    audit.integrate()
    # Only what the checkpoint covers, and only where the log is the one that it is of.
    plan = audit.pruner.plan(audit.now(), log, OPERATOR)
    assert plan.position == log.size
    with pytest.raises(AuditUnavailable, match="not what its root is of"):
        audit.pruner.plan(audit.now(), CheckpointLog(6, b"x" * 32), OPERATOR)
    with pytest.raises(AuditUnavailable, match="entries or roots of the log are missing"):
        audit.pruner.plan(audit.now(), CheckpointLog(99, log.root), OPERATOR)
    owner.execute("ALTER TABLE audit_records ADD COLUMN extra integer NOT NULL DEFAULT 1")
    owner.execute("CREATE RULE hide AS ON DELETE TO audit_records DO INSTEAD NOTHING")
    with pytest.raises(ConfigError, match="altered"):
        audit.pruner.plan(audit.now(), log, OPERATOR)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM audit_records WHERE number = 3",
        "UPDATE audit_records SET body = replace(body, 'allowed', 'denied') WHERE number = 3",
        "UPDATE audit_log SET mac = leaf WHERE position = 3",
        "DELETE FROM audit_log WHERE position = 3",
    ],
)
def test_what_the_owner_did_before_is_not_covered_up(
    audit: Audit, owner: Owner, change: str
) -> None:
    audit.call(5)
    audit.integrate()
    log = audit.log()
    owner.execute(change)
    with pytest.raises(ConfigError, match="the record at position 3 is missing, or was edited"):
        audit.pruner.prune(audit.now(), log, OPERATOR)
    assert audit.found() != []
    assert owner.execute("SELECT count(*) FROM audit_prunings").fetchone() == (0,)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ("DELETE FROM audit_records WHERE number = 9", "DELETED", "record 9 is missing"),
        (
            'DELETE FROM audit_records WHERE body LIKE \'%"rpc":"Erase"%\';'
            " DELETE FROM audit_erasures",
            "DELETED",
            "1 records up to position 7 are missing that no pruning drops",
        ),
        ("DELETE FROM audit_records WHERE number = 1", "DELETED", "record 1 is missing"),
        ("DELETE FROM audit_log WHERE position = 3", "DELETED", "position 3 of the log is missing"),
        ("DELETE FROM audit_prunings", "DELETED", "records 2 to 5 are missing"),
        ("DELETE FROM audit_prunings", "DELETED", "the row of the pruning up to position 7 is"),
        ("UPDATE audit_prunings SET position = 8", "FORGED_ROW", "up to position 8"),
        (
            "INSERT INTO audit_prunings SELECT 9, writer, number, sums FROM audit_prunings",
            "FORGED_ROW",
            "no server declared a pruning up to position 9",
        ),
        (
            "UPDATE audit_prunings SET sums = replace(sums, '40', '1')",
            "FORGED_ROW",
            "the sums that the pruning up to position 7 kept were edited",
        ),
        (
            "UPDATE audit_records SET body = replace(body, '\"position\":7', '\"position\":9')"
            ' WHERE body LIKE \'%"kind":"pruned"%\'',
            "FORGED_ROW",
            "no server declared a pruning up to position 7",
        ),
    ],
)
def test_what_the_owner_does_under_cover_of_a_pruning_is_named(
    audit: Audit, owner: Owner, change: str, kind: str, message: str
) -> None:
    _keep_counter(owner, total=40)
    owner.execute(
        "INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter,"
        " state) VALUES ('default', 'f', 'gone', 'field', 'random', 1, 0, 'erased')"
    )
    audit.call(4, READ)
    audit.work.run(lambda each: each.audit.append(ERASE, ["gone"]))
    audit.call(1)
    audit.integrate()
    before = audit.now()
    audit.call(4)
    audit.integrate()
    audit.prune(before)
    assert audit.found() == []
    owner.execute(change)
    found = audit.found()
    assert any(each == kind and message in said for each, said in found), found


def test_a_budget_that_is_put_back_shows_after_its_records_are_gone(
    audit: Audit, owner: Owner
) -> None:
    _keep_counter(owner, total=50)
    audit.call(5, READ)
    audit.integrate()
    assert audit.prune().dropped == 3
    assert audit.found() == []
    _keep_counter(owner, total=49)
    ((kind, message),) = audit.found()
    assert (kind, "counts 49 values, and records 50" in message) == ("ROLLED_BACK", True)
    # A second pruning carries the sums on.
    _keep_counter(owner, total=70)
    audit.call(2, READ)
    audit.integrate()
    audit.prune()
    assert audit.found() == []
    owner.execute("DELETE FROM budget_counters")
    ((kind, message),) = audit.found()
    assert message.endswith("is gone; records count 70 values")


def test_the_services_role_cannot_prune(audit: Audit, database: Database) -> None:
    audit.call(5)
    audit.integrate()
    pruner = AuditPruner(audit.engine, audit.engine, KEY, key_of)
    with pytest.raises(AuditUnavailable):
        pruner.prune(audit.now(), audit.log(), OPERATOR)
    # It was declared, and nothing dropped: the owner's login finishes it.
    assert audit.found() == []
    assert audit.prune().dropped == 3


def _keep_counter(owner: Owner, total: int) -> None:
    key = BudgetKey(TokenSpace("default", "f"), Action.DETOKENIZE, "full", "p")
    bare = BudgetCounter(total, "{}", 1, b"")
    mac = KEY.rows.mac(TABLE, counter_cells(key, bare))
    owner.execute(
        "INSERT INTO budget_counters (tenant, field, action, view, principal, total, windows,"
        " key_version, mac) VALUES ('default', 'f', 'detokenize', 'full', 'p', %s, '{}', 1, %s)"
        " ON CONFLICT (tenant, field, action, view, principal) DO UPDATE"
        " SET total = excluded.total, mac = excluded.mac",
        [total, mac],
    )
