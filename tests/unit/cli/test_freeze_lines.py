"""How freezes are shown, and whom the commands take."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from vault.cli.freeze import _document, _table
from vault.cli.main import app
from vault.v1 import freeze_service_pb2 as pb

ANN = pb.FreezeTarget(person=pb.FrozenPerson(issuer="idp", claim="oid", value="ann"))


def test_a_list_says_who_since_when_by_whom_and_why() -> None:
    frozen = pb.FreezeStatus(
        target=pb.FreezeTarget(principal="spiffe://example.org/a\x1b[2J"),
        frozen=True,
        touches=1200,
        changed_by="tokenvault:honey",
        reason="two\nlines",
    )
    frozen.change_time.FromJsonString("2026-11-28T07:00:00Z")
    head, first, second, third = _table(
        [frozen, pb.FreezeStatus(target=ANN), pb.FreezeStatus(target=ANN, forged=True)]
    )
    assert head.split() == ["STATE", "WHO", "TOUCHES", "SINCE", "BY", "WHY"]
    assert first.split("  ") == [
        part for part in first.split("  ") if "\x1b" not in part and "\n" not in part
    ]
    assert "spiffe://example.org/a\\x1b[2J  1,200    2026-11-28 07:00 UTC" in first
    assert second.split() == ["free", "idp", "oid=ann", "0", "-", "-", "-"]
    assert third.startswith("FORGED ROW")


def test_json_says_what_is_false_too() -> None:
    found = _document(pb.FreezeStatus(target=ANN))
    assert json.loads(json.dumps(found)) == {
        "target": {"person": {"issuer": "idp", "claim": "oid", "value": "ann"}},
        "frozen": False,
        "touches": 0,
    }


def test_a_change_is_of_one_principal_or_person() -> None:
    for names in ([], ["--principal", "a", "--person", "i", "c", "v"]):
        done = CliRunner().invoke(app, ["freeze", "add", *names, "-m", "why"])
        assert done.exit_code == 2
        assert "name one of --principal and --person" in done.output
