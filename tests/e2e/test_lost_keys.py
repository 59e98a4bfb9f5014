"""A row of ``data_keys`` is lost under a running server, as a restore of some tables does it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests import preloaded
from vault.client import CallError, Client, RetryPolicy

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

ACCOUNT = "1234567890123"
CARD = "4539578763621486"
LIFETIME = 8
LOST = "account_id field version 1: its row is missing from data_keys"
ONCE = RetryPolicy(attempts=1)


Serve = Callable[..., "subprocess.CompletedProcess[str]"]


def owner(site: Site, statement: str) -> None:
    with psycopg.connect(site.database.superuser_conninfo, autocommit=True) as connection:
        connection.execute(statement)


def data_keys(site: Site) -> list[tuple[object, ...]]:
    with psycopg.connect(site.database.superuser_conninfo) as connection:
        return connection.execute("SELECT * FROM data_keys ORDER BY 1, 2, 3, 4").fetchall()


def tokenize(server: Server, field: str, value: str) -> str:
    with server.client("pipeline") as client:
        (token,) = client.tokenize(field, [value]).values
    assert token is not None
    return token


def detokenize(server: Server, field: str, token: str) -> str | None:
    tls = server.site.tls("restore-pipeline")
    with Client(server.address, tls, retry=ONCE, timeout=20) as client:
        return client.detokenize(field, [token]).values[0]


def not_ready(server: Server) -> list[str]:
    """What the log says of a server that is not ready."""
    return [str(line) for line in server.lines() if line["event"] == "not ready"]


def test_a_lost_key_of_a_vaultless_field_never_answers_another_value(
    site: Site, start_server: StartServer, serve: Serve
) -> None:
    changes = {"keys": {"lifetime": f"{LIFETIME}s"}}
    server = start_server("lost", changes)
    token = tokenize(server, "account_id", ACCOUNT)
    card = tokenize(server, "card_number", CARD)
    with server.client("auditor") as auditor:
        assert not auditor.verify_audit().findings
    owner(site, "CREATE TABLE backup AS SELECT * FROM data_keys WHERE field = 'account_id'")
    owner(site, "DELETE FROM data_keys WHERE field = 'account_id' AND purpose = 'field'")
    left = data_keys(site)

    with server.client("auditor") as auditor:
        (finding,) = auditor.verify_audit().findings
    assert (finding.kind, finding.message) == ("KEY_LOST", f"data key {LOST}")
    # From memory, said by the probes, and then not at all; never another value.
    server.await_health("readiness", serving=False)
    assert server.health("keys") == "NOT_SERVING"
    answers, end = 0, time.monotonic() + 4 * LIFETIME
    with pytest.raises(CallError, match="KEYS_UNAVAILABLE"):
        while time.monotonic() < end:
            assert detokenize(server, "account_id", token) == ACCOUNT
            answers += 1
            time.sleep(0.1)
    assert answers > 0
    with pytest.raises(CallError, match="KEYS_UNAVAILABLE"):
        detokenize(server, "card_number", card)
    # The probes say so in their next round.
    for words in ("from memory", "the keys have expired"):
        while not any(words in line and LOST in line for line in not_ready(server)):
            assert time.monotonic() < end
            time.sleep(0.1)

    refusal = serve("second", changes, development=True)
    assert refusal.returncode != 0
    assert LOST in refusal.stderr
    assert data_keys(site) == left

    owner(site, "INSERT INTO data_keys SELECT * FROM backup WHERE purpose = 'field'")
    server.await_health("readiness", serving=True)
    assert detokenize(server, "account_id", token) == ACCOUNT
    assert detokenize(server, "card_number", card) == CARD
    with server.client("auditor") as auditor:
        assert not auditor.verify_audit().findings
    server.stop()


def test_the_audit_knows_a_field_whose_every_trace_is_gone(
    site: Site, start_server: StartServer, serve: Serve
) -> None:
    server = start_server("traceless")
    token = tokenize(server, "account_id", ACCOUNT)
    server.stop()
    lost = ("key_manifest", "data_keys", "field_shapes", "limit_counters")
    for table in lost:
        owner(site, f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
        field = " WHERE field = 'account_id'" if table != "key_manifest" else ""
        owner(site, f"DELETE FROM {table}{field}")
    left = data_keys(site)
    refusal = serve("traceless", {}, development=True)
    assert refusal.returncode != 0
    assert "the audit names generation" in refusal.stderr
    assert data_keys(site) == left

    for table in lost:
        owner(site, f"INSERT INTO {table} SELECT * FROM kept_{table} ON CONFLICT DO NOTHING")
    server.start()
    assert detokenize(server, "account_id", token) == ACCOUNT
    server.stop()


def accept(server: Server, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    return preloaded.run(
        [preloaded.TOKENVAULT, "keys", "accept", "--config", server.settings, *arguments],
        given=answer.encode(),
    )


def test_a_field_is_given_up_by_command_and_the_others_are_served(
    site: Site, start_server: StartServer, serve: Serve
) -> None:
    server = start_server("given-up")
    token = tokenize(server, "account_id", ACCOUNT)
    card = tokenize(server, "card_number", CARD)
    server.stop()
    owner(site, "DELETE FROM data_keys WHERE field = 'account_id' AND purpose = 'field'")
    assert LOST in serve("given-up", {}, development=True).stderr

    whole = accept(server)
    assert whole.returncode == 4
    assert LOST in whole.stderr
    asked = accept(server, "--give-up", "account_id", answer="n\n")
    assert asked.returncode != 0
    assert LOST in serve("given-up", {}, development=True).stderr
    done = accept(server, "--give-up", "account_id", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "given up: account_id" in done.stdout

    server.start()
    assert detokenize(server, "card_number", card) == CARD
    with pytest.raises(CallError, match="account_id are lost, and were given up"):
        detokenize(server, "account_id", token)
    assert tokenize(server, "card_number", CARD) == card
    fields = [row[1:4] for row in data_keys(site) if row[1] == "account_id"]
    assert fields == [("account_id", "index", 1)]
    server.stop()
