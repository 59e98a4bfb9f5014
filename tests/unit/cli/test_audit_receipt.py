"""``tokenvault audit receipt verify``: what it prints of receipts, with a public key alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.exported_audits import KEY, ORIGIN, VKEY, ExportedAudit
from vault.audit.receipts.receipt import make_receipt

Invoke = Callable[..., tuple[int, str, str]]
AUDIT = ExportedAudit.of(5)
RECEIPTS = [make_receipt(record, KEY, ORIGIN) for record in AUDIT.records]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    contents = {
        "vkeys": VKEY.to_vkey().encode(),
        "receipts": "".join(f"{each}\n" for each in RECEIPTS[:2]).encode(),
        "changed": RECEIPTS[0].replace("eyJ", "eyj", 1).encode(),
        "export": b"".join(AUDIT.export()),
        "short": b"".join(AUDIT.export(1, 1)),
        "damaged": b"".join(AUDIT.export()).replace(b"allowed", b"denied", 1),
        "empty": b"\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in contents}


def test_receipts_are_told_with_their_place_where_an_export_shows_it(
    invoke: Invoke, files: dict[str, Path]
) -> None:
    keys = ("--public-key", str(files["vkeys"]))
    given = ("audit", "receipt", "verify", str(files["receipts"]), *keys)
    code, out, _ = invoke(*given)
    assert code == 0
    first, second = out.splitlines()
    assert first == (
        "receipt 1: 2026-11-28 01:02:03.000  allowed  p  Detokenize: signed for the log " + ORIGIN
    )
    assert second.startswith("receipt 2: ")
    code, out, _ = invoke(*given, "--export", str(files["export"]), "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert (code, [each["position"] for each in found]) == (0, [1, 2])
    assert found[0]["reveal"]["rpc"] == "Detokenize"


@pytest.mark.parametrize(
    ("receipts", "export", "told"),
    [
        ("changed", "", "receipt 1 does not hold: "),
        ("receipts", "short", "receipt 2 does not hold: its record is not in the export"),
        ("receipts", "damaged", "the export does not hold: the record at position 1 was edited"),
    ],
)
def test_what_does_not_hold_is_said(
    invoke: Invoke, files: dict[str, Path], receipts: str, export: str, told: str
) -> None:
    given = ["audit", "receipt", "verify", str(files[receipts]), "--public-key"]
    given.append(str(files["vkeys"]))
    if export:
        given += ["--export", str(files[export])]
    code, out, _ = invoke(*given)
    assert code == 1
    assert told in out


def test_what_cannot_be_asked(invoke: Invoke, files: dict[str, Path]) -> None:
    keys = ("--public-key", str(files["vkeys"]))
    for arguments, told in (
        (("empty", *keys), "has no receipt"),
        (("receipts", *keys, "--proof", "export"), "--proof is of one receipt"),
        (("receipts", *keys, "--proof", "a", "--export", "b"), "--export or --proof"),
        (("receipts", "--public-key", "export"), "has no public keys"),
    ):
        code, _, err = invoke("audit", "receipt", "verify", *arguments)
        assert code == 2
        assert told in " ".join(err.split())
