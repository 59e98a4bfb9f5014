"""Audit filters that can match nothing are refused, and what matched nothing says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer

from tests.api import declared_methods
from vault.cli.audit.options import AuditFilterOptions
from vault.client import Client
from vault.v1.audit_service_pb2 import AuditFilter, AuditRecord, TailAuditResponse

Invoke = Callable[..., tuple[int, str, str]]


def made(
    since: str | None = None,
    until: str | None = None,
    *,
    principals: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    rpcs: Sequence[str] = (),
    request_id: str | None = None,
) -> AuditFilter | None:
    return AuditFilterOptions(
        since,
        until,
        principal=list(principals),
        outcome=list(outcomes),
        rpc=list(rpcs),
        request_id=request_id,
    ).filter()


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("refused", "did you mean 'denied'"),
        ("Denied", "did you mean 'denied'"),
        ("ok", "did you mean 'allowed'"),
        ("error", "did you mean 'failed'"),
        ("x", "allowed, denied, failed"),
    ],
)
def test_an_outcome_that_no_record_has_is_refused(outcome: str, told: str) -> None:
    with pytest.raises(typer.BadParameter, match=told):
        made(outcomes=["denied", outcome])
    assert made(outcomes=["allowed", "denied", "failed"])


@pytest.mark.parametrize(
    ("rpc", "near"),
    [("detokenize", "Detokenize"), ("Detokenise", "Detokenize"), ("tail", "TailAudit")],
)
def test_an_rpc_that_no_record_has_is_refused(rpc: str, near: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"did you mean '{near}'.*EraseSpellings"):
        made(rpcs=[rpc])


def test_every_rpc_of_a_record_is_taken() -> None:
    # Calls of others than methods: expiry, what no server knows, strangers' by the minute.
    assert made(rpcs=["Detokenize", "TokenizeColumn", "GetPolicy", "Expire", "unknown", "*"])


@pytest.mark.parametrize("name", ["pipeline", "example.org/pipeline", "SPIFFE://x/y"])
def test_a_principal_that_no_caller_has_is_refused(name: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"SPIFFE ID.*ISSUER#SUBJECT"):
        made(principals=[name])


@pytest.mark.parametrize(
    "name", ["spiffe://example.org/pipeline", "https://i.example.org#s", "tokenvault:reaper", ""]
)
def test_every_principal_of_a_record_is_taken(name: str) -> None:
    assert made(principals=[name])


@pytest.mark.parametrize(
    ("since", "until"),
    [("1h", "2h"), ("1h", "1h"), ("2026-11-27", "2026-11-26"), ("2026-11-27", "2026-11-27")],
)
def test_a_time_that_ends_before_it_begins_is_refused(since: str, until: str) -> None:
    with pytest.raises(typer.BadParameter, match="--until is not after --since"):
        made(since, until)
    assert made(until, since) if until != since else True


@pytest.mark.parametrize("given", ["64da", "64da…", "64DA" * 8, "64da" * 9])
def test_a_shortened_request_id_is_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="32 hex digits"):
        made(request_id=given)
    assert made(request_id="64da" * 8)


def audit_of_five(*found: int) -> Callable[..., TailAuditResponse]:
    """Answers TailAudit: five records, of which a search finds some positions."""

    def tail(
        client: Client,
        position: int = 0,
        limit: int = 100,
        *,
        wanted: AuditFilter | None = None,
        before: int = 0,
        peaks: bool = False,
    ) -> TailAuditResponse:
        hits = found if wanted else (1, 2, 3, 4, 5)
        records = [AuditRecord(position=hit, body="{}") for hit in hits if hit >= position]
        end = 6 if wanted else max(position, 6)
        return TailAuditResponse(records=records, next=end, first=1, last=5 if wanted else 0)

    return tail


@pytest.fixture
def connection(tmp_path: Path, pem_files: dict[str, bytes]) -> list[str]:
    for name, content in pem_files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    return ["--address", "localhost:1", "--ca", "ca", "--cert", "cert", "--key", "key"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--field", "nosuch"), "no record of the 5 looked at matches\n"),
        (("--field", "nosuch", "--from", "3"), "no record of the 3 looked at matches\n"),
        (("--field", "nosuch", "--from", "9"), "no record has position 9 or above yet\n"),
        (("--from", "100000"), "no record has position 100,000 or above yet\n"),
        (("--from", "5"), ""),
    ],
)
@pytest.mark.parametrize("command", [("tail",), ("export", "-o", "out")])
def test_nothing_found_is_said(
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    connection: list[str],
    command: tuple[str, ...],
    asked: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.setattr(Client, "tail_audit", audit_of_five())
    code, out, err = invoke("audit", *command, *asked, *connection)
    assert (code, err) == (0, told)
    assert (not out) == (bool(told) and command == ("tail",))


def test_something_found_is_not_talked_about(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, connection: list[str]
) -> None:
    monkeypatch.setattr(Client, "tail_audit", audit_of_five(4))
    for asked in ((), ("--from", "2")):
        code, out, err = invoke("audit", "tail", "--field", "x", *asked, *connection)
        assert (code, err) == (0, "")
        assert out


def test_every_rpc_of_the_services_can_be_asked_for() -> None:
    names = [method.name for method in declared_methods()]
    assert "RequestReveal" in names
    assert made(rpcs=names)
