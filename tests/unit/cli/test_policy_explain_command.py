"""``tokenvault policy explain`` on a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vault.cli.main import app

SAMPLE = str(Path(__file__).parents[3] / "deploy/policy.yaml")
PIPELINE = "spiffe://example.org/pipeline"


def ask(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["policy", "explain", SAMPLE, *arguments])
    return result.exit_code, result.output


def test_an_allowed_call_ends_with_0() -> None:
    code, said = ask("--principal", PIPELINE, "--action", "tokenize", "--field", "us_ssn")
    assert code == 0
    assert said.startswith("ALLOWED by pipeline\n")
    assert "limits[0]: at most 1,000,000 values per 1h and principal" in said


@pytest.mark.parametrize("principal", [PIPELINE, "spiffe://example.org/x", "https://idp.test#bob"])
def test_a_refused_call_ends_with_1(principal: str) -> None:
    code, said = ask("--principal", principal, "--action", "detokenize", "--field", "us_ssn")
    assert code == 1
    assert said.startswith("DENIED: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--principal", PIPELINE, "--action", "tokenise"),
        ("--principal", "bob", "--action", "tokenize"),
        ("--principal", PIPELINE, "--action", "read_audit", "--field", "us_ssn"),
        ("--principal", "https://idp.test#bob", "--group", "admins", "--action", "tokenize"),
    ],
)
def test_what_cannot_be_asked_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert ask(*arguments)[0] == 2
