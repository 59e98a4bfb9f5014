"""The main job over the wire: tokenize, see as much as allowed, find it all in the audit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from vault.client import CallError, Client
from vault.server.probing import PROBES, SERVICES, WORKERS

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

CARDS = ["4111 1111-1111 1111", "5500005555555559", "340000000000009"]


@pytest.fixture(scope="module")
def tokens(server: Server) -> list[str]:
    with server.client("pipeline") as client:
        column = client.tokenize("card_number", CARDS)
    assert column.errors == {}
    return [token for token in column.values if token]


def test_a_token_has_the_values_format_and_is_not_the_value(tokens: list[str]) -> None:
    for card, token in zip(CARDS, tokens, strict=True):
        assert token != card
        assert token[-4:] == card[-4:]
        assert [c.isdigit() for c in token] == [c.isdigit() for c in card]


def test_a_value_keeps_its_token(server: Server, tokens: list[str]) -> None:
    with server.client("pipeline") as client:
        again = client.tokenize("card_number", [None, *CARDS, ""])
    assert again.values == [None, *tokens, ""]
    assert again.skipped == 2


def test_each_role_sees_its_view(server: Server, tokens: list[str]) -> None:
    with server.client("fraud-analyst") as analyst:
        whole = analyst.detokenize("card_number", tokens)
    with server.client("support") as support:
        some = support.detokenize("card_number", tokens)
    assert (whole.values, whole.view) == (CARDS, "full")
    assert some.values[0] == "**** ****-**** 1111"
    assert some.view == "last4"


def test_lookup_and_describe_tell_what_they_should(server: Server, tokens: list[str]) -> None:
    with server.client("steward") as steward:
        found = steward.lookup("card_number", [CARDS[0], "4012888888881881"])
        known = steward.describe("card_number", [tokens[0], "4012888888881880"])
    assert found.values == [tokens[0], ""]
    assert found.errors[1].reason == "TOKEN_NOT_FOUND"
    assert known.values[0] is not None
    assert (known.values[0].format, known.values[0].generator) == ("card", "ff3-1")
    assert known.values[0].HasField("create_time")
    assert known.errors[1].reason == "TOKEN_NOT_FOUND"


def test_order_is_kept_over_many_batches(server: Server) -> None:
    values: list[str | None] = [f"{n:012d}" if n % 7 else None for n in range(2500)]
    with server.client("pipeline", batch_size=200) as client:
        column = client.tokenize("account_id", values)
    assert column.skipped == values.count(None)
    with server.client("restore-pipeline", batch_size=333) as client:
        assert client.detokenize("account_id", column.values).values == values


def test_bytes_are_encrypted_and_bound_to_their_context(server: Server) -> None:
    with server.client("crypto-service") as client:
        sealed = client.encrypt("national_id", [b"a scan", b"", b"another"], b"customer 7")
        opened = client.decrypt("national_id", sealed.values, b"customer 7")
        moved = client.decrypt("national_id", sealed.values, b"customer 8")
    assert opened.values == [b"a scan", b"", b"another"]
    assert {error.reason for error in moved.errors.values()} == {"DECRYPTION_FAILED"}
    assert moved.values == [b"", b"", b""]


def test_the_auditor_reads_policy_and_audit(server: Server, tokens: list[str]) -> None:
    with server.client("auditor") as auditor:
        policy = auditor.get_policy()
        report = auditor.verify_audit()
    assert "card_number" in policy.document
    assert len(policy.digest) == 64
    assert report.records > 0
    assert list(report.findings) == []


@pytest.mark.parametrize(
    ("identity", "call"),
    [
        ("pipeline", lambda client: client.detokenize("card_number", ["4111111111111111"])),
        ("pipeline", lambda client: client.get_policy()),
        ("support", lambda client: client.detokenize("card_number", ["4111111111111111"], "full")),
        ("support", lambda client: client.detokenize("email", ["a@example.org"])),
        ("auditor", lambda client: client.tokenize("card_number", ["4111111111111111"])),
        ("auditor", lambda client: client.tokenize("no_such_field", ["4111111111111111"])),
        ("fraud-analyst", lambda client: client.verify_audit()),
        ("nobody", lambda client: client.tokenize("card_number", ["4111111111111111"])),
    ],
)
def test_everybody_else_is_refused_and_recorded(
    server: Server,
    read_audit: Callable[[], list[str]],
    identity: str,
    call: Callable[[Client], object],
) -> None:
    before = len(read_audit())
    with server.client(identity) as client, pytest.raises(CallError) as caught:
        call(client)
    assert (caught.value.code, caught.value.reason) == ("PERMISSION_DENIED", "DENIED")
    assert not caught.value.retryable
    records = read_audit()
    # A chain's first use writes the record that opens it, too.
    assert 1 <= len(records) - before <= 2
    (mine,) = [record for record in records if caught.value.request_id in record]
    assert "denied" in mine
    assert f"spiffe://example.org/{identity}" in mine


def test_the_metrics_page_counts(server: Server, tokens: list[str]) -> None:
    with urlopen(f"http://{server.metrics}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    assert 'tokenvault_calls_total{code="OK",rpc="Tokenize"}' in page
    assert 'field="card_number",outcome="ok",rpc="Tokenize"' in page
    assert "tokenvault_ready 1.0" in page
    # These and no others: the docs name each.
    assert set(re.findall(r'tokenvault_probe\{probe="(\w+)"\} 1\.0', page)) == set(PROBES)


def test_health_answers_for_each_part(server: Server) -> None:
    for service in set(SERVICES) - {WORKERS}:
        assert server.health(service) == "SERVING"
    assert server.health("nothing") == "NOT_FOUND"


def test_a_changed_authority_that_is_refused_shows_and_the_old_one_serves(
    start_server: StartServer, site: Site
) -> None:
    authority = site.directory / "clients-ca.pem"
    good = site.authority.certificate_path.read_text()
    authority.write_text(good)
    server = start_server("files", {"server": {"client_ca": str(authority)}})
    assert server.health("files") == "SERVING"
    authority.write_text("no certificate\n")
    server.await_health("files", serving=False)
    assert server.health("readiness") == "SERVING"
    with server.client("pipeline") as client:
        assert client.tokenize("card_number", CARDS).errors == {}
    authority.write_text(good)
    server.await_health("files", serving=True)
    assert server.stop() == 0
