"""What rules ask of a call, over the wire."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from vault.client import CallError, Client, PackedColumn
from vault.policy.hours import Weekday

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

POLICY = r"""
version: 1
purposes:
  fraud_case: A reported fraud that is being investigated
  chargeback: A payment that the cardholder disputes
fields:
  card: {format: card, generator: random, views: {last4: {show_last: 4}}}
  scan: {format: {alphabet: alphanumeric, min: 6, max: 24}, generator: ff1}
roles:
  pipeline: [{fields: [card], allow: [tokenize], networks: [127.0.0.0/8, '::1/128']}]
  stranded: [{fields: [card], allow: [tokenize], networks: [10.0.0.0/8]}]
  early: [{fields: [card], allow: [tokenize], hours: NEVER_NOW}]
  analyst:
    - {fields: [card], allow: [detokenize], view: full, purposes: [fraud_case], ticket: 'F-\d+'}
  counting: [{fields: [card], allow: [detokenize], view: full, budget: {values: 1000, per: 1d}}]
  sparing: [{fields: [card], allow: [detokenize], view: full, budget: [{values: 5, per: 1h}]}]
  masked:
    - {fields: [card], allow: [detokenize], view: full, purposes: [fraud_case], on_denied: mask}
  auditor: [{allow: [read_audit]}]
  archivist:
    - {fields: [scan], allow: [encrypt]}
    - {fields: [scan], allow: [decrypt], view: full, purposes: [chargeback]}
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/stranded", roles: [stranded]}
  - {spiffe: "spiffe://example.org/early", roles: [early]}
  - {spiffe: "spiffe://example.org/analyst", roles: [analyst]}
  - {spiffe: "spiffe://example.org/archivist", roles: [archivist]}
  - {spiffe: "spiffe://example.org/auditor", roles: [auditor]}
  - {spiffe: "spiffe://example.org/masked", roles: [masked]}
  - {spiffe: "spiffe://example.org/counting", roles: [counting]}
  - {spiffe: "spiffe://example.org/first", roles: [sparing]}
  - {spiffe: "spiffe://example.org/second", roles: [sparing]}
  - {spiffe: "spiffe://example.org/third", roles: [sparing]}
"""
CARD = "5317250628844522"


@pytest.fixture(scope="module")
def policy_file(site: Site) -> Path:
    path = site.directory / "rules.yaml"
    # No run of the tests takes three days.
    day = Weekday((datetime.now(UTC) + timedelta(days=3)).weekday()).name.lower()
    hours = f"{{days: [{day}], from: '00:00', to: '24:00', zone: UTC}}"
    path.write_text(POLICY.replace("NEVER_NOW", hours), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(start_server: StartServer, policy_file: Path) -> Server:
    return start_server(changes={"policy": {"path": str(policy_file)}})


@pytest.fixture(scope="module")
def replica(start_server: StartServer, server: Server, policy_file: Path) -> Server:
    """Another server of the same site."""
    return start_server("replica", changes={"policy": {"path": str(policy_file)}})


@pytest.fixture
def analyst(server: Server) -> Iterator[Client]:
    with server.client("analyst") as client:
        yield client


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    with server.client("pipeline") as client:
        (token,) = client.tokenize("card", [CARD]).values
    assert token
    return token


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(CallError) as caught:
        call()
    assert caught.value.code == "PERMISSION_DENIED"
    assert not caught.value.retryable
    assert CARD not in str(caught.value)
    return caught.value.reason


def last_call(read_audit: Callable[[], list[str]], rpc: str) -> dict[str, object]:
    bodies = [json.loads(body) for body in read_audit()]
    found = [body for body in bodies if body.get("rpc") == rpc]
    return dict(max(found, key=lambda body: str(body["time"])))


def test_a_reveal_says_what_it_is_for(
    analyst: Client, token: str, read_audit: Callable[[], list[str]]
) -> None:
    shown = analyst.detokenize("card", [token], purpose="fraud_case", ticket="F-7")
    assert shown.values == [CARD]
    body = last_call(read_audit, "Detokenize")
    assert (body["outcome"], body["purpose"], body["ticket"]) == ("allowed", "fraud_case", "F-7")


def test_a_packed_reveal_says_it_too(
    analyst: Client, token: str, read_audit: Callable[[], list[str]]
) -> None:
    packed = PackedColumn.of([token])
    shown = analyst.detokenize_column("card", packed, purpose="fraud_case", ticket="F-8")
    assert shown.column.strings() == [CARD]
    assert last_call(read_audit, "DetokenizeColumn")["ticket"] == "F-8"
    assert refusal(lambda: analyst.detokenize_column("card", packed)) == "PURPOSE_REQUIRED"


@pytest.mark.parametrize(
    ("purpose", "ticket", "reason"),
    [
        ("", "F-7", "PURPOSE_REQUIRED"),
        ("chargeback", "F-7", "PURPOSE_NOT_ALLOWED"),
        (CARD, "F-7", "PURPOSE_NOT_ALLOWED"),
        ("fraud_case", "", "TICKET_REQUIRED"),
        ("fraud_case", CARD, "TICKET_NOT_ALLOWED"),
        ("fraud_case", "F-7 " + CARD, "TICKET_NOT_ALLOWED"),
        ("fraud_case", "F-" + "7" * 100_000, "TICKET_NOT_ALLOWED"),
    ],
)
def test_each_thing_that_is_missing_has_its_reason(
    analyst: Client,
    token: str,
    read_audit: Callable[[], list[str]],
    purpose: str,
    ticket: str,
    reason: str,
) -> None:
    asked = {"purpose": purpose, "ticket": ticket}
    assert refusal(lambda: analyst.detokenize("card", [token], **asked)) == reason
    body = last_call(read_audit, "Detokenize")
    assert (body["outcome"], body["reason"]) == ("denied", reason)
    assert CARD not in json.dumps(body)
    assert len(json.dumps(body)) < 2000


def test_bytes_are_decrypted_for_a_purpose(
    server: Server, read_audit: Callable[[], list[str]]
) -> None:
    with server.client("archivist") as client:
        sealed = client.encrypt("scan", [b"a scan"]).values
        assert refusal(lambda: client.decrypt("scan", sealed)) == "PURPOSE_REQUIRED"
        assert client.decrypt("scan", sealed, purpose="chargeback").values == [b"a scan"]
    assert last_call(read_audit, "Decrypt")["purpose"] == "chargeback"


@pytest.mark.parametrize(
    ("who", "reason"), [("stranded", "OUTSIDE_NETWORKS"), ("early", "OUTSIDE_HOURS")]
)
def test_a_call_comes_from_where_and_when_it_may(
    server: Server, read_audit: Callable[[], list[str]], who: str, reason: str
) -> None:
    with server.client(who) as client:
        assert refusal(lambda: client.tokenize("card", [CARD])) == reason
    body = last_call(read_audit, "Tokenize")
    assert (body["outcome"], body["reason"]) == ("denied", reason)


def reveals(server: Server, token: str, calls: int) -> tuple[int, int]:
    """Asks for 10 values a call; returns how many were revealed, and calls refused."""
    revealed = refused = 0
    with server.client("counting", batch_size=10) as client:
        while calls:
            try:
                shown = client.detokenize("card", [token] * 10)
            except CallError as error:
                if error.reason == "OVERLOADED":  # nothing was done: it is asked again
                    continue
                assert error.reason == "BUDGET_EXHAUSTED"
                refused += 1
            else:
                assert shown.values == [CARD] * 10
                revealed += 10
            calls -= 1
    return revealed, refused


def test_a_budget_holds_over_replicas_and_races(
    site: Site, server: Server, replica: Server, token: str, read_audit: Callable[[], list[str]]
) -> None:
    """64 clients on two servers ask for 10,000 values in batches of 10, and 1,000 are there."""
    shares = [16] * 40 + [15] * 24
    assert sum(shares) * 10 == 10_000
    servers = [server, replica] * 32
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(reveals, servers, [token] * 64, shares))
    assert sum(revealed for revealed, _ in found) == 1000
    assert sum(refused for _, refused in found) == 900
    bodies = [json.loads(body) for body in read_audit()]
    own = [body for body in bodies if body.get("principal", "").endswith("/counting")]
    charged = [body for body in own if "budget" in body]
    assert sum(body["counts"]["ok"] for body in charged) == 1000
    assert {body["outcome"] for body in charged} == {"allowed"}
    assert sum(body["reason"] == "BUDGET_EXHAUSTED" for body in own) == 900
    assert owner(site, "SELECT total FROM budget_counters WHERE principal LIKE '%/counting'") == [
        (1000,)
    ]
    assert budget_findings(server) == []


def owner(site: Site, statement: str) -> Sequence[tuple[object, ...]]:
    with psycopg.connect(site.database.superuser_conninfo) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else ()


def budget_findings(server: Server) -> list[tuple[str, str]]:
    with server.client("auditor") as auditor:
        found = auditor.verify_audit().findings
    return [(each.kind, each.message) for each in found]


def exhausted(call: Callable[[], object], reason: str = "BUDGET_EXHAUSTED") -> CallError:
    with pytest.raises(CallError) as caught:
        call()
    assert caught.value.reason == reason
    return caught.value


def test_a_refusal_says_what_is_left_and_when_there_is_more(server: Server, token: str) -> None:
    with server.client("first") as client:
        client.detokenize("card", [token] * 3)
        error = exhausted(lambda: client.detokenize("card", [token] * 4))
        assert error.retryable
        assert "has 2 left, and this call asks for 4; there is enough in" in error.message
        client.detokenize("card", [token] * 2)
        assert not exhausted(lambda: client.detokenize("card", [token] * 6)).retryable


FORGERIES = {
    "a lower count": "UPDATE budget_counters SET total = 0, windows = '{}'",
    "a window that ended": "UPDATE budget_counters SET windows = replace(windows, '[', '[1')",
    "another's counter": """
        UPDATE budget_counters SET (total, windows, key_version, mac) =
            (SELECT total, windows, key_version, mac FROM budget_counters
             WHERE principal = 'spiffe://example.org/first')
    """,
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_counter_that_the_owner_wrote_is_refused_and_named(
    site: Site, server: Server, token: str, forgery: str
) -> None:
    mine = "WHERE principal = 'spiffe://example.org/second'"
    with server.client("second") as client:
        if not owner(site, f"SELECT 1 FROM budget_counters {mine}"):
            client.detokenize("card", [token] * 5)
        owner(site, f"CREATE TABLE kept AS SELECT * FROM budget_counters {mine}")
        owner(site, f"{forgery} {mine}")
        before = refused_rows(server)
        error = exhausted(lambda: client.detokenize("card", [token]), "BUDGET_INVALID")
        assert not error.retryable
        assert refused_rows(server) == before + 1
        logged = [line for line in server.lines() if line.get("table") == "budget_counters"]
        assert logged[-1]["principal"] == "spiffe://example.org/second"
        ((kind, message),) = budget_findings(server)
        assert kind == "FORGED_ROW"
        assert "spiffe://example.org/second for detokenize on card, view full" in message
        owner(site, f"DELETE FROM budget_counters {mine}")
        ((kind, message),) = budget_findings(server)
        assert (kind, message.endswith("is gone; records count 5 values")) == ("ROLLED_BACK", True)
        owner(site, "INSERT INTO budget_counters SELECT * FROM kept; DROP TABLE kept")
        exhausted(lambda: client.detokenize("card", [token]))
    assert budget_findings(server) == []


def refused_rows(server: Server) -> float:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    found = [line for line in lines if line.startswith("tokenvault_refused_rows_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_a_counter_that_was_put_back_is_noticed(
    site: Site, server: Server, replica: Server, token: str
) -> None:
    mine = "WHERE principal = 'spiffe://example.org/third'"
    with server.client("third") as client:
        client.detokenize("card", [token] * 2)
        owner(site, f"CREATE TABLE kept AS SELECT * FROM budget_counters {mine}")
        client.detokenize("card", [token] * 3)
        owner(site, f"CREATE TABLE last AS SELECT * FROM budget_counters {mine}")
        put = "DELETE FROM budget_counters {}; INSERT INTO budget_counters SELECT * FROM {}"
        owner(site, put.format(mine, "kept"))
        exhausted(lambda: client.detokenize("card", [token]), "BUDGET_INVALID")
        # A server that never charged it takes it for the last: the audit knows better.
        ((kind, message),) = budget_findings(replica)
        assert kind == "ROLLED_BACK"
        assert "counts 2 values, and records 5: it was put back" in message
        owner(site, put.format(mine, "last"))
        exhausted(lambda: client.detokenize("card", [token]))
    owner(site, "DROP TABLE kept; DROP TABLE last")
    assert budget_findings(server) == []


def test_what_is_denied_may_be_masked_and_is_marked(
    server: Server, token: str, read_audit: Callable[[], list[str]]
) -> None:
    with server.client("masked", batch_size=2) as client:
        shown = client.detokenize("card", [token, None, token, token])
        assert shown.values == ["", None, "", ""]
        assert shown.view == ""
        assert list(shown.errors) == [0, 2, 3]
        for error in shown.errors.values():
            assert (error.reason, error.on_denied) == ("PURPOSE_REQUIRED", "mask")
            assert error.substitute == "*" * 16
        packed = client.detokenize_column("card", PackedColumn.of([None, token]))
        assert packed.column.strings() == [None, None]
        assert packed.errors[1].substitute == "*" * 16
        assert client.detokenize("card", [token], purpose="fraud_case").values == [CARD]
    body = last_call(read_audit, "DetokenizeColumn")
    assert (body["outcome"], body["reason"]) == ("denied", "PURPOSE_REQUIRED")
