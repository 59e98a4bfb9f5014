"""How requests of reveals are shown: what an approver decides from, and no escape sequence."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from vault.cli.main import app
from vault.cli.reveal import _document, _lines, _table
from vault.v1 import reveal_service_pb2 as pb


def reveal(**changes: object) -> pb.Reveal:
    made = pb.Reveal(
        id="8c1f3a52-4a0e-4d0c-9f5e-0d6d0a6f2f11",
        state=pb.REVEAL_STATE_OPEN,
        person="ann",
        principal="https://idp.example.org#ann",
        field="us_ssn",
        view="full",
        purpose="fraud_case",
        reason="a \x1b[2Jcase",
        tokens=1200,
        times=1,
        left=1200,
        missing_roles=["fraud_lead"],
        may_decide=True,
    )
    made.expire_time.FromJsonString("2026-11-28T07:00:00Z")
    made.lifetime.FromSeconds(3600)
    made.decisions.add(verdict="APPROVED", person="lea", comment="ok")
    made.MergeFrom(pb.Reveal(**changes))  # type: ignore[arg-type]
    return made


def test_a_request_says_who_what_how_many_why_and_until_when() -> None:
    assert _lines(reveal()) == [
        "id:        8c1f3a52-4a0e-4d0c-9f5e-0d6d0a6f2f11",
        "state:     open, waits for fraud_lead",
        "who:       ann (https://idp.example.org#ann)",
        "what:      us_ssn, view full",
        "how many:  1,200 tokens, each once; 1,200 left",
        "what for:  fraud_case",
        "why:       a \\x1b[2Jcase",
        "grant:     for at most 1:00:00",
        "until:     2026-11-28 07:00 UTC",
        "approved:  lea: ok",
    ]
    assert _lines(pb.Reveal(tokens=1, times=1))[4] == "how many:  1 token, each once; 0 left"
    assert "each 3 times" in _lines(reveal(times=3))[4]


def test_a_list_is_a_table_that_says_what_waits_for_a_decision() -> None:
    head, row, note = _table([reveal()])
    assert head.split() == ["ID", "STATE", "WHO", "WHAT", "TOKENS", "UNTIL", "WHY"]
    assert row.startswith("8c1f3a52-4a0e-4d0c-9f5e-0d6d0a6f2f11  open *  ann  us_ssn full  1,200")
    assert "\x1b" not in row
    assert note.startswith("* waits for your decision")


def test_an_emergency_shows_and_what_waits_for_a_review() -> None:
    made = reveal(state=pb.REVEAL_STATE_GRANTED, break_glass=True, awaits_review=True)
    made.ClearField("missing_roles")
    made.ClearField("may_decide")
    assert _lines(made)[1] == (
        "state:     granted, BREAK-GLASS: nobody approved it, waits for a review"
    )
    made.may_review = True
    _, row, note = _table([made])
    assert "granted BREAK-GLASS !" in row
    assert note.startswith("! waits for your review: tokenvault reveal review ID")
    made.awaits_review = made.may_review = False
    assert _lines(made)[1] == "state:     granted, BREAK-GLASS: nobody approved it"
    assert len(_table([made])) == 2


def test_json_has_the_state_by_its_name() -> None:
    document = json.loads(json.dumps(_document(reveal())))
    assert document["tokens"] == 1200
    assert (document["state"], document["missing_roles"]) == ("open", ["fraud_lead"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["request", "--field", "f", "--reason", "r"], "name tokens"),
        (["request", "t", "--field", "f", "--reason", "r", "--lifetime", "x"], "--lifetime"),
        (["open", "id", "t"], "on a terminal only"),
    ],
)
def test_what_cannot_be_asked_is_said_before_a_call(arguments: list[str], problem: str) -> None:
    service = ["--address", "localhost:1", "--ca", "ca", "--cert", "c", "--key", "k"]
    done = CliRunner().invoke(app, ["reveal", *arguments, *service])
    assert done.exit_code == 2
    assert problem in done.output
