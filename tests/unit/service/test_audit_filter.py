"""Filters of the audit: what is wanted, what is refused, and what cannot be hidden."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from vault.errors import InvalidRequest
from vault.service.audit_filter import EVERYTHING, AuditFilter

WRITER = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-000000000002"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CALL = json.dumps(
    {
        "kind": "call",
        "time": "2026-11-23T12:00:00.000000+00:00",
        "principal": "spiffe://example.org/etl",
        "rpc": "Tokenize",
        "outcome": "allowed",
        "field": "us_ssn",
        "request_id": "0a",
        "purpose": "fraud",
        "person": {"issuer": "https://idp", "claim": "email", "value": "ann@example.org"},
        "grant": "8c1f",
    }
)
OPENED = json.dumps({"kind": "opened", "time": "2026-11-23T11:59:59.999999+00:00"})
SECOND = timedelta(seconds=1)

WANTED = [
    EVERYTHING,
    AuditFilter(principals=["spiffe://example.org/etl"]),
    AuditFilter(principals=["x", "spiffe://example.org/etl"], rpcs=["Tokenize", "Erase"]),
    AuditFilter(fields=["us_ssn"], outcomes=["allowed"]),
    AuditFilter(since=NOON),
    AuditFilter(until=NOON + SECOND),
    AuditFilter(since=NOON - SECOND, until=NOON + SECOND, request_id="0a"),
    AuditFilter(writer=WRITER),
    AuditFilter(writer=WRITER, number=7),
    AuditFilter(purposes=["support", "fraud"]),
    AuditFilter(persons=["bob@example.org", "ann@example.org"], grants=["8c1f"]),
]
UNWANTED = [
    AuditFilter(principals=["spiffe://example.org/et"]),
    AuditFilter(principals=["spiffe://example.org/etl"], rpcs=["Erase"]),
    AuditFilter(fields=["us_ss"]),
    AuditFilter(fields=[""]),
    AuditFilter(outcomes=["denied"]),
    AuditFilter(since=NOON + SECOND),
    AuditFilter(until=NOON),
    AuditFilter(request_id="0"),
    AuditFilter(writer=OTHER),
    AuditFilter(purposes=["support"]),
    AuditFilter(purposes=[""]),
    AuditFilter(persons=["ann"]),
    AuditFilter(persons=["ann@example.org"], grants=["8c"]),
    AuditFilter(writer=WRITER, number=8),
]


@pytest.mark.parametrize("wanted", WANTED)
def test_a_record_that_fits_all_that_is_given_is_wanted(wanted: AuditFilter) -> None:
    wanted.check()
    assert wanted.matches(WRITER, 7, CALL)


@pytest.mark.parametrize("unwanted", UNWANTED)
def test_a_record_that_fits_something_not_is_not_wanted(unwanted: AuditFilter) -> None:
    unwanted.check()
    assert not unwanted.matches(WRITER, 7, CALL)


def test_an_opening_has_a_time_and_nothing_else() -> None:
    assert AuditFilter(until=NOON).matches(WRITER, 1, OPENED)
    assert not AuditFilter(persons=[""]).matches(WRITER, 1, OPENED)
    assert not AuditFilter(rpcs=["Tokenize"]).matches(WRITER, 1, OPENED)


@pytest.mark.parametrize("unwanted", UNWANTED[:8])
def test_what_does_not_verify_is_never_filtered_away(unwanted: AuditFilter) -> None:
    assert unwanted.matches(WRITER, 7, "")
    assert unwanted.matches("", 0, "")


def test_a_hole_is_shown_to_who_asks_for_a_writer() -> None:
    assert AuditFilter(writer=WRITER, number=8).matches("", 0, "")
    assert not AuditFilter(writer=WRITER).matches(OTHER, 7, "")


@pytest.mark.parametrize(
    "wrong",
    [
        AuditFilter(writer="4111111111111111"),
        AuditFilter(writer=WRITER.replace("-", "")),
        AuditFilter(writer="\x00"),
        AuditFilter(number=3),
        AuditFilter(writer=WRITER, number=-1),
        AuditFilter(principals=["x"] * 101),
        AuditFilter(rpcs=["x"] * 101),
        AuditFilter(outcomes=["allowed", "4111111111111111"]),
        AuditFilter(outcomes=["Denied"]),
        AuditFilter(since=NOON, until=NOON),
        AuditFilter(since=NOON, until=NOON - SECOND),
    ],
)
def test_a_malformed_filter_is_refused_and_not_quoted(wrong: AuditFilter) -> None:
    with pytest.raises(InvalidRequest) as caught:
        wrong.check()
    assert "4111" not in caught.value.message
