"""How sets of honey tokens are shown, and what is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vault.cli.honey import _document, _show, _table
from vault.cli.main import app
from vault.v1 import honey_service_pb2 as pb


def test_a_list_says_where_since_when_and_by_whom() -> None:
    made = pb.HoneySet(
        id="8c1f3a52-4a0e-4d0c-9f5e-0d6d0a6f2f11",
        field="us_ssn",
        label="crm",
        tokens=1200,
        active=True,
        principal="https://idp#gil\x1b[2J",
    )
    made.create_time.FromJsonString("2026-11-28T07:00:00Z")
    head, first, second, third = _table(
        [made, pb.HoneySet(id="b", field="us_ssn"), pb.HoneySet(id="c", forged=True)]
    )
    assert head.split() == ["ID", "STATE", "FIELD", "LABEL", "TOKENS", "SINCE", "BY"]
    assert (
        "active      us_ssn  crm    1,200   2026-11-28 07:00 UTC  https://idp#gil\\x1b[2J" in first
    )
    assert second.split() == ["b", "retired", "us_ssn", "-", "0", "-", "-"]
    assert third.split()[:3] == ["c", "FORGED", "ROW"]


def test_json_says_what_is_false_too() -> None:
    assert _document(pb.HoneySet(id="a")) == {"id": "a", "active": False}


def test_one_set_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    _show(pb.HoneySet(id="a", active=True), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"id": "a", "active": True}


def test_no_token_is_no_set(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("\n")
    words = ["honey", "add", "--field", "us_ssn", "--label", "crm", "--file", str(file)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "there is no token in --file" in done.output
