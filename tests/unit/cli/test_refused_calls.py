"""A refused call is reported with what it was about: names of the command line, never a value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vault.client import CallError, Client, Column

Invoke = Callable[..., tuple[int, str, str]]
CANARY = "4111111111111111"


@pytest.fixture
def dev(tmp_path: Path, pem_files: dict[str, bytes]) -> list[str]:
    for name, content in pem_files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    clients = {"pipeline": {"cert": "cert", "key": "key"}}
    described = {"address": "localhost:1", "ca": "ca", "clients": clients}
    (tmp_path / "dev.json").write_text(json.dumps(described))
    (tmp_path / "in.csv").write_text(f"id,name\n1,{CANARY}\n")
    return ["--dev", ".", "--role", "pipeline"]


def refuse(monkeypatch: pytest.MonkeyPatch, code: str, reason: str, request: str = "64da") -> None:
    def fail(*_: object, **__: object) -> Column:
        raise CallError(code, reason, "the service's words", False, request)

    for name in ("tokenize", "detokenize", "erase", "tail_audit"):
        monkeypatch.setattr(Client, name, fail)


def test_a_field_that_the_policy_does_not_know_is_named(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, dev: list[str]
) -> None:
    refuse(monkeypatch, "NOT_FOUND", "FIELD_NOT_FOUND")
    code, _, err = invoke("tokenize", "in.csv", "-c", "name=person_nam", *dev)
    assert code == 2
    assert "(column 'name', field 'person_nam', as role pipeline, request 64da)" in err
    assert CANARY not in err


def test_a_column_alone_is_said_to_be_a_field(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, dev: list[str]
) -> None:
    refuse(monkeypatch, "NOT_FOUND", "FIELD_NOT_FOUND")
    for command in (["tokenize"], ["detokenize"], ["erase", "--yes"]):
        _, _, err = invoke(*command, "in.csv", "-c", "name", *dev)
        assert "a column alone stands for a field of the same name, NAME=FIELD for another" in err


def test_a_denial_says_of_whom_and_of_what(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, dev: list[str]
) -> None:
    refuse(monkeypatch, "PERMISSION_DENIED", "DENIED")
    code, _, err = invoke("detokenize", "in.csv", "-c", "name=f", "--view", "lst4", *dev)
    assert code == 3
    assert "(view 'lst4', column 'name', field 'f', as role pipeline, request 64da)" in err
    assert "`tokenvault policy explain` says why" in err
    assert CANARY not in err
    code, _, err = invoke("audit", "tail", *dev)
    assert (code, err.count("as role pipeline")) == (3, 1)


def test_who_called_by_a_certificate_is_said_as_well(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, dev: list[str]
) -> None:
    refuse(monkeypatch, "PERMISSION_DENIED", "DENIED")
    four = ("--address", "localhost:1", "--ca", "ca", "--cert", "cert", "--key", "key")
    assert "as certificate cert" in invoke("audit", "tail", *four)[2]


def test_a_service_that_is_away_is_no_matter_of_columns(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, dev: list[str]
) -> None:
    refuse(monkeypatch, "UNAVAILABLE", "UNAVAILABLE", request="")
    _, _, err = invoke("tokenize", "in.csv", "-c", "name=f", *dev)
    assert err == "tokenvault: the service is unavailable: UNAVAILABLE: the service's words\n"
