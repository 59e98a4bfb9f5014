"""``tokenvault policy diff`` on files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from vault.cli.main import app

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Invoke

SAMPLE = Path(__file__).parents[3] / "deploy/policy.yaml"


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    text = SAMPLE.read_text()
    for before, after in (
        ('{fields: ["*"], allow: [lookup, describe]}', '{fields: ["*"], allow: [describe]}'),
        ("allow: [detokenize], view: last4", "allow: [detokenize, lookup], view: last4"),
        ("values: 1000000", "values: 2000000"),
        ("ttl: 365d", "ttl: 30d"),
        ("{last: 4}", "{last: 3}"),
    ):
        assert before in text
        text = text.replace(before, after, 1)
    path = tmp_path / "new.yaml"
    path.write_text(text)
    return path


def compare(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["policy", "diff", *map(str, arguments)])
    return result.exit_code, result.output


def test_no_difference_ends_with_0() -> None:
    assert compare(SAMPLE, SAMPLE) == (0, "nobody gains or loses anything\n")


def test_a_difference_ends_with_1_and_says_who(changed: Path) -> None:
    code, said = compare(SAMPLE, changed)
    assert code == 1
    assert said.splitlines() == [
        "spiffe://example.org/steward",
        "  - lookup every field",
        "spiffe://example.org/support",
        "  + lookup card_number",
        "https://idp.example.org groups=steward (for tokenvault)",
        "  - lookup every field",
        "https://idp.example.org groups=support (for tokenvault)",
        "  + lookup card_number",
        "fields",
        "  ~ card_number keep.last: 4 -> 3 (other tokens: refused where the field is in use)",
        "  ~ email ttl: 365d -> 30d",
        "limits, of each principal",
        "  ~ lookup us_ssn loosened: 1,000,000 values per 1h -> 2,000,000 values per 1h",
        "  ~ tokenize us_ssn loosened: 1,000,000 values per 1h -> 2,000,000 values per 1h",
    ]


def test_json_has_all_of_it_on_one_line(changed: Path) -> None:
    code, said = compare("--json", SAMPLE, changed)
    assert (code, said.count("\n")) == (1, 1)
    found = json.loads(said)
    assert found["differs"] is True
    assert found["principals"][1] == {
        "principal": {"spiffe": "spiffe://example.org/support"},
        "gains": [{"action": "lookup", "field": "card_number"}],
        "loses": [],
        "denied": [],
        "denied_no_more": [],
    }
    assert found["limits"][0]["after"] == [{"values": 2_000_000, "per": "1h"}]
    assert json.loads(compare("--json", SAMPLE, SAMPLE)[1])["differs"] is False


@pytest.mark.parametrize("content", [b"version: 2\n", b"[", b"\xff", None])
def test_what_is_no_policy_is_no_difference(
    invoke: Invoke, tmp_path: Path, content: bytes | None
) -> None:
    bad = tmp_path / "bad.yaml"
    if content is not None:
        bad.write_bytes(content)
    code, out, err = invoke("policy", "diff", str(SAMPLE), str(bad))
    assert (code, out) == (2, "")
    assert "bad.yaml" in err
