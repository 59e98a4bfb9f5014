"""What rules ask of a call, over the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

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
  archivist:
    - {fields: [scan], allow: [encrypt]}
    - {fields: [scan], allow: [decrypt], view: full, purposes: [chargeback]}
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/stranded", roles: [stranded]}
  - {spiffe: "spiffe://example.org/early", roles: [early]}
  - {spiffe: "spiffe://example.org/analyst", roles: [analyst]}
  - {spiffe: "spiffe://example.org/archivist", roles: [archivist]}
"""
CARD = "5317250628844522"


@pytest.fixture(scope="module")
def server(start_server: StartServer, site: Site) -> Server:
    path = site.directory / "rules.yaml"
    # No run of the tests takes three days.
    day = Weekday((datetime.now(UTC) + timedelta(days=3)).weekday()).name.lower()
    hours = f"{{days: [{day}], from: '00:00', to: '24:00', zone: UTC}}"
    path.write_text(POLICY.replace("NEVER_NOW", hours), encoding="utf-8")
    return start_server(changes={"policy": {"path": str(path)}})


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
