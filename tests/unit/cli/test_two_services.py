"""A command line that names two services is refused: values would go to one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Invoke = Callable[..., tuple[int, str, str]]

COMMANDS = (
    ("tokenize", "in.csv", "-c", "card"),
    ("detokenize", "in.csv", "-c", "card"),
    ("erase", "in.csv", "-c", "card", "--yes"),
    ("audit", "tail"),
    ("audit", "verify"),
    ("policy", "show"),
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--address", "--ca", "--cert", "--key"])
def test_dev_beside_an_option_that_names_a_service(
    invoke: Invoke, command: tuple[str, ...], option: str
) -> None:
    for pair in (("--dev", "d", option, "x:1"), (option, "x:1", "--dev", "d")):
        code, out, err = invoke(*command, *pair)
        assert (code, out) == (2, "")
        assert f"--dev and {option} name two services" in err


def test_health_has_the_same_rule(invoke: Invoke) -> None:
    code, out, err = invoke("health", "--dev", "d", "--address", "127.0.0.1:1")
    assert (code, out) == (2, "")
    assert "--dev and --address name two services" in err


def test_variables_of_the_environment_lose_to_dev(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKENVAULT_ADDRESS", "elsewhere:1")
    (tmp_path / "in.csv").write_text("card\n1\n")
    described = {"address": "localhost:1", "ca": "ca.pem", "clients": {}}
    (tmp_path / "dev.json").write_text(json.dumps(described))
    code, _, err = invoke("tokenize", "in.csv", "-c", "card", "--dev", ".", "--role", "nobody")
    assert code == 2
    assert "no role 'nobody' in dev.json" in err


def test_a_role_leads_to_no_other_service(invoke: Invoke) -> None:
    four = ("--address", "h:1", "--ca", "ca", "--cert", "cert", "--key", "key")
    code, _, err = invoke("audit", "tail", "--role", "pipeline", *four)
    assert code == 2
    assert "leave --role out, or leave --address, --ca, --cert, --key out" in err
    assert "unset TOKENVAULT_*" in err
