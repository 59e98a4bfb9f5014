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


IDP = "https://idp.example.org"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--principal", "spiffe://example.org/pipelin"),
            "the policy does not know spiffe://example.org/pipelin; the nearest it knows is "
            "spiffe://example.org/pipeline (line ",
        ),
        (
            ("--principal", "spiffe://example.com/auditor"),
            "nearest it knows is spiffe://example.org/auditor (line ",
        ),
        (("--principal", f"{IDP}#bob"), "has roles by its claims alone: name them with --group"),
        (
            ("--principal", f"{IDP}#bob", "--group", f"{IDP} tokenvault groups pipelines"),
            f"nearest it knows is {IDP} tokenvault groups pipeline (line ",
        ),
        (
            ("--principal", f"{IDP}#bob", "--group", f"{IDP} tokenvalt groups audit"),
            f"nearest it knows is {IDP} tokenvault groups audit (line ",
        ),
    ],
)
def test_an_unknown_principal_is_told_from_one_without_a_right(
    arguments: tuple[str, ...], told: str
) -> None:
    code, said = ask(*arguments, "--action", "tokenize", "--field", "us_ssn")
    assert code == 1
    assert said.splitlines()[0].startswith("DENIED: ")
    assert told in said
    assert "roles: none" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("--principal", "spiffe://example.org/support"),
        ("--principal", f"{IDP}#bob", "--group", f"{IDP} tokenvault groups support"),
        (
            *("--principal", f"{IDP}#bob", "--group", f"{IDP} tokenvault groups support"),
            *("--group", f"{IDP} tokenvault groups strangers"),
        ),
    ],
)
def test_a_known_principal_is_not_called_unknown(arguments: tuple[str, ...]) -> None:
    code, said = ask(*arguments, "--action", "tokenize", "--field", "us_ssn")
    assert code == 1
    assert "not know" not in said
    assert "no rule of these roles allows it" in said


def test_a_subject_that_the_policy_knows_by_its_claim_is_found(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    group = f'{{issuer: "{IDP}", audience: tokenvault, claim: sub, value: bob}}'
    file.write_text(
        "version: 1\nfields: {ssn: {format: us_ssn, generator: ff1}}\n"
        "roles: {a: [{allow: [read_audit]}]}\n"
        f"principals: [{{jwt: {group}, roles: [a]}}]\n"
    )
    command = ["policy", "explain", str(file), "--principal", f"{IDP}#bob"]
    result = CliRunner().invoke(app, [*command, "--action", "read_audit"])
    assert f"--group '{IDP} tokenvault sub bob'" in result.output


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


RULED = """version: 1
fields:
  card: {format: card, generator: random}
roles:
  r:
    - fields: [card]
      allow: [detokenize]
      view: full
      purposes: [fraud]
      ticket: 'F[0-9]+'
      networks: [10.0.0.0/8]
      hours: {days: [mon], from: "08:00", to: "18:00", zone: Europe/Berlin}
principals:
  - {spiffe: "spiffe://example.org/x", roles: [r]}
"""
MET = {"--purpose": "fraud", "--ticket": "F1", "--from": "10.1.2.3", "--at": "2026-11-23T09:30"}


@pytest.mark.parametrize(
    ("key", "other", "told"),
    [
        ("", "", "ALLOWED by r, view full"),
        ("--purpose", "", "PURPOSE_REQUIRED"),
        ("--ticket", "x", "TICKET_NOT_ALLOWED"),
        ("--from", "::ffff:10.1.2.3", "ALLOWED"),
        ("--from", "11.1.2.3", "OUTSIDE_NETWORKS"),
        ("--from", "", "OUTSIDE_NETWORKS"),
        ("--at", "2026-11-23T17:00", "OUTSIDE_HOURS"),
        ("--at", "2026-11-23T18:30:00+0200", "ALLOWED"),
    ],
)
def test_conditions_are_judged_by_what_is_given(
    tmp_path: Path, key: str, other: str, told: str
) -> None:
    (tmp_path / "p.yaml").write_text(RULED)
    given = [part for pair in {**MET, **({key: other} if key else {})}.items() for part in pair]
    about = ["--principal", "spiffe://example.org/x", "--action", "detokenize", "--field", "card"]
    command = ["policy", "explain", str(tmp_path / "p.yaml"), *about, *given]
    result = CliRunner().invoke(app, command)
    assert result.output.startswith(told)
    assert result.exit_code == (0 if told.startswith("ALLOWED") else 1)


def test_an_address_that_is_none_is_a_mistake() -> None:
    about = ("--principal", PIPELINE, "--action", "tokenize", "--field", "us_ssn")
    code, said = ask(*about, "--from", "example.org")
    assert code == 2
    assert "is no IP address" in said
