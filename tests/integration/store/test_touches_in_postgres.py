"""Touches counted by several processes at once; what the audit says where the owner lowers them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from tests.integration.conftest import AUDIT_KEY
from tests.unit.service.conftest import FixedKeys
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.memory import NOTHING_REMEMBERED
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.errors import StoreUnavailable, TokenvaultError
from vault.model import AuditEvent, Caller, FreezeTarget, Principal, TokenSpace
from vault.policy.freezes import FreezeRule
from vault.policy.reading.load import parse_policy
from vault.server.freezes.refreshing import FreezeRefresher, Watched
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.freezes.counting import TouchCounter
from vault.service.freezes.model import Freeze
from vault.service.freezes.rows import FreezeRows
from vault.service.freezes.watch import FreezeWatch
from vault.service.honey.alarm import Touch, TouchAlarm
from vault.service.honey.known import KnownHoney
from vault.service.honey.sets import HoneyRows
from vault.service.notices.notices import Notices
from vault.service.ports import FreezeRow, Transaction
from vault.telemetry.metrics import AuditMetrics

Owner = psycopg.Connection[tuple[object, ...]]
POLICY = parse_policy("version: 1\nfields: {ssn: {format: us_ssn, generator: ff1}}\n", "policy")
NAME = "spiffe://example.org/reader"
SET = str(UUID(int=5))
TARGET = FreezeTarget.of_principal(NAME)


class Keys(FixedKeys):
    def audit_key(self, tenant: str, version: int | None = None) -> MacKey:
        return AUDIT_KEY


class Process:
    """The counting of one server process."""

    def __init__(self, engine: Engine, name: str) -> None:
        rows = FreezeRows(Keys())
        self.work = PostgresUnitOfWork(engine, ChainHeadPool(name, lambda: AUDIT_KEY))
        self.watch = FreezeWatch(rows, lambda *_: None)
        self.known = KnownHoney(HoneyRows(Keys()))
        self.alarm = TouchAlarm(self.known, self.watch)
        self.counter = TouchCounter(self.work, rows, self.watch, lambda: POLICY, Notices(Keys()))
        self.registry = CollectorRegistry()
        self.refresher = FreezeRefresher(
            self.work,
            Watched(self.watch, self.known, self.alarm),
            self.counter,
            AuditMetrics(self.registry),
        )


def caller(request_id: str) -> Caller:
    return Caller(Principal("spiffe", NAME), "peer", "01", request_id)


def touch(rule: FreezeRule | None, request_id: str = "r-1", tokens: int = 1) -> Touch:
    return Touch(caller(request_id), "Detokenize", "ssn", {SET: tokens}, rule)


def rows(process: Process) -> Sequence[FreezeRow]:
    return process.work.run(lambda transaction: transaction.freezes.all("default"))


def freezes_recorded(owner: Owner) -> int:
    found = owner.execute("SELECT count(*) FROM audit_records WHERE body LIKE '%\"freeze\":{%'")
    (count,) = found.fetchone() or (0,)
    assert isinstance(count, int)
    return count


def test_touches_of_all_processes_count_together_and_freeze_once(
    engine: Engine, owner: Owner
) -> None:
    processes = [Process(engine, name) for name in ("one", "two")]
    rule = FreezeRule(24, 3600)
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(processes[at % 2].counter.count, [touch(rule, f"r-{at}")])
            for at in range(40)
        ]
        frozen = [job.result() for job in jobs]
    assert frozen.count(False) == 23
    (row,) = rows(processes[0])
    assert (row.touched, row.frozen) == (40, True)
    assert freezes_recorded(owner) == 1


class _Broken(TouchCounter):
    broken = True

    def count(self, touches: Sequence[Touch], deadline: float | None = None) -> bool:
        if self.broken:
            raise StoreUnavailable("away")
        return super().count(touches, deadline)


def test_touches_that_could_not_be_counted_are_counted_later(engine: Engine) -> None:
    process = Process(engine, "one")
    counter = _Broken(
        process.work, FreezeRows(Keys()), process.watch, lambda: POLICY, Notices(Keys())
    )
    watched = Watched(process.watch, process.known, process.alarm)
    refresher = FreezeRefresher(process.work, watched, counter, AuditMetrics(CollectorRegistry()))
    process.watch.hold(TARGET)
    process.alarm._touches["r-1"] = touch(FreezeRule(1))
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            refresher.run_once()
        # It was read all the same, and who touched is refused meanwhile.
        with pytest.raises(TokenvaultError, match="frozen"):
            process.watch.check(caller("r-2"))
        assert rows(process) == []
    counter.broken = False
    refresher.run_once()
    refresher.run_once()
    (row,) = rows(process)
    assert (row.touched, row.frozen) == (1, True)


def recorded_touch(process: Process) -> None:
    event = AuditEvent("Detokenize", "allowed", NAME, "peer", "01", "r-1", "d", touched=f"{SET} 2")
    process.work.run(lambda transaction: transaction.audit.append(event))


def findings(engine: Engine) -> list[str]:
    reader = PostgresAuditReader(engine, lambda _: AUDIT_KEY, lambda: NOTHING_REMEMBERED, [])
    found = reader.verify(None).findings
    return [f"{each.kind} {each.message}" for each in found if NAME in each.message]


def test_touches_that_records_have_and_no_row_counts_are_named(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(engine, "one")
    recorded_touch(process)
    assert findings(engine) == []  # it may be counted yet
    monkeypatch.setattr("vault.audit.checks.freeze_check._UNCOUNTED", timedelta(0))
    assert findings(engine) == [f"ROLLED_BACK the freeze of the principal {NAME} is gone"]
    process.counter.count([touch(None, tokens=2)])
    assert findings(engine) == []
    recorded_touch(process)
    assert findings(engine) == [
        f"ROLLED_BACK the freeze of the principal {NAME} counts 2 touches, and records 4"
    ]


def test_touches_from_before_a_freeze_was_lifted_are_no_more_asked_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.audit.checks.freeze_check._UNCOUNTED", timedelta(0))
    process = Process(engine, "one")
    recorded_touch(process)

    def lifted(transaction: Transaction) -> None:
        now, _ = transaction.freezes.lock("default", *TARGET)
        freeze = Freeze("default", TARGET, changed=now + timedelta(seconds=1))
        transaction.freezes.insert(FreezeRows(Keys()).written(freeze))

    process.work.run(lifted)
    assert findings(engine) == []


def test_a_field_without_honey_asks_nothing(engine: Engine) -> None:
    process = Process(engine, "one")
    process.refresher.run_once()
    space = TokenSpace("default", "ssn")
    assert process.alarm.note(caller("r-1"), "Detokenize", space, ["219099999"], None) == ""
    assert process.alarm.take() == []
