"""Calls that share transactions while their connections are killed, frozen and interrupted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import psycopg
import pytest

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.errors import TokenvaultError
from vault.model import AuditEvent, TokenSpace
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import Transaction
from vault.telemetry.logging import configure_logging

Owner = psycopg.Connection[tuple[object, ...]]
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})
SPACE = TokenSpace("default", "card_number")
CALLERS = 16
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE usename = 'tokenvault' AND datname = %s"


def key_of(version: int) -> MacKey:
    return MacKey(version, bytes(32))


class Site:
    """One server process's unit of work, and callers that note which calls were answered."""

    def __init__(self, url: object, report: Callable[[str], object]) -> None:
        self.engine = make_engine(str(url))
        chain_heads = ChainHeadPool("test", lambda: key_of(1))
        self._work = PostgresUnitOfWork(self.engine, chain_heads)
        self._report = report
        self.failed = 0
        self.stop = threading.Event()

    def caller(self, number: int) -> None:
        """Calls until it is told to stop."""
        at = 0
        while not self.stop.is_set():
            at += 1
            self._call(f"{number}-{at}", random.choice([0.1, 5.0, 30.0]))

    def _call(self, name: str, seconds: float) -> None:
        def work(transaction: Transaction) -> str:
            if random.random() < 0.5:
                transaction.tokens.find_by_token(SPACE, [name])
            transaction.audit.append(replace(EVENT, request_id=name))
            return name

        try:
            self._report(self._work.run(work, deadline=time.monotonic() + seconds))
        except TokenvaultError:
            self.failed += 1


def recorded(owner: Owner) -> Counter[str]:
    """How many records each call has."""
    rows = owner.execute("SELECT body FROM audit_records").fetchall()
    bodies = [json.loads(cast("str", body)) for (body,) in rows]
    return Counter(body["request_id"] for body in bodies if body["kind"] == "call")


def check(owner: Owner, database: Database, answered: list[str]) -> None:
    """Every answer has its record, nobody has two, and every chain verifies."""
    found = recorded(owner)
    assert len(answered) > CALLERS
    assert set(answered) <= set(found)
    assert set(found.values()) == {1}
    engine = make_engine(database.service_url)
    report = PostgresAuditReader(engine, key_of).verify()
    engine.dispose()
    assert list(report.findings) == []
    assert report.records == found.total() + report.writers


def harm(owner: Owner, database: Database) -> None:
    """Does something to one of the service's sessions."""
    pids = [cast("int", pid) for (pid,) in owner.execute(BACKENDS, (database.name,))]
    if not pids:
        return
    pid = random.choice(pids)
    kind = random.choice(["kill", "freeze", "interrupt"])
    if kind == "kill":
        owner.execute("SELECT pg_terminate_backend(%s)", (pid,))
    elif kind == "interrupt":
        owner.execute("SELECT pg_cancel_backend(%s)", (pid,))
    else:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(random.uniform(0, 0.8))
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "seconds", [4, pytest.param(120, marks=pytest.mark.soak)], ids=["short", "soak"]
)
def test_every_answer_has_its_record_whatever_happens_to_connections(
    database: Database, owner: Owner, seconds: int
) -> None:
    answered: list[str] = []
    site = Site(database.service_url, answered.append)
    with ThreadPoolExecutor(CALLERS) as pool:
        ended = [pool.submit(site.caller, number) for number in range(CALLERS)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(random.uniform(0, 0.1))
            harm(owner, database)
        site.stop.set()
        for each in ended:
            each.result(60)
    site.engine.dispose()
    check(owner, database, answered)


def main(url: str) -> None:
    """Calls until it is killed; says of each answered call that it was."""
    configure_logging("error")  # to standard error: a call that is late is logged
    lock = threading.Lock()

    def say(name: str) -> None:
        with lock:
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()

    site = Site(url, say)
    for number in range(CALLERS):
        threading.Thread(target=site.caller, args=(number,)).start()


@pytest.mark.parametrize("answers", [20, 200, 555])
def test_a_server_that_is_killed_leaves_no_answer_without_a_record(
    database: Database, owner: Owner, answers: int
) -> None:
    url = database.service_url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.integration.postgres.test_group_commit_chaos", url]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as server:
        assert server.stdout is not None
        answered = [server.stdout.readline().strip() for _ in range(answers)]
        server.kill()
        # The last line may be cut off.
        answered += [line.strip() for line in server.stdout if line.endswith("\n")]

    def gone() -> bool:
        return owner.execute(BACKENDS, (database.name,)).fetchone() is None

    end = time.monotonic() + 30
    while not gone() and time.monotonic() < end:
        time.sleep(0.05)
    check(owner, database, answered)


if __name__ == "__main__":
    main(sys.argv[1])
