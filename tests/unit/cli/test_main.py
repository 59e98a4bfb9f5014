from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from vault.cli.csv_options import parse_columns
from vault.cli.main import app
from vault.dev.authority import Authority

CANARY = "4111111111111111"
Invoke = Callable[..., tuple[int, str, str]]


def test_a_key_of_another_certificate_ends_with_2(
    invoke: Invoke, tmp_path: Path, pem_files: dict[str, bytes]
) -> None:
    other = Authority(tmp_path / "pki").issue_client("other", "spiffe://example.org/other")
    for name, content in {**pem_files, "key": other.key.read_bytes()}.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "in.csv").write_text("id,card\n1,2\n")
    connection = ["--address", "localhost:1", "--ca", "ca", "--cert", "cert", "--key", "key"]
    code, _, err = invoke("tokenize", "in.csv", "-c", "card", "-o", "out.csv", *connection)
    assert code == 2
    assert "key is not the private key of cert" in err


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o620, 0o602])
def test_a_key_that_others_can_read_or_change_ends_with_2(
    invoke: Invoke, tmp_path: Path, pem_files: dict[str, bytes], mode: int
) -> None:
    for name, content in pem_files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "key").chmod(mode)
    (tmp_path / "in.csv").write_text("id,card\n1,2\n")
    connection = ["--address", "localhost:1", "--ca", "ca", "--cert", "cert", "--key", "key"]
    for command in (["tokenize", "in.csv", "-c", "card", "-o", "out.csv"], ["audit", "verify"]):
        code, out, err = invoke(*command, *connection)
        assert (code, out) == (2, "")
        assert "key can be read or changed by others; chmod 600 it" in err


def test_version(invoke: Invoke) -> None:
    code, out, _ = invoke("--version")
    assert code == 0
    assert out.startswith("tokenvault ")


@pytest.mark.parametrize(
    "command",
    ["tokenize", "detokenize", "erase", "dev", "serve", "migrate", "policy", "keys", "audit"],
)
def test_every_command_has_help(invoke: Invoke, command: str) -> None:
    code, out, _ = invoke(command, "--help")
    assert code == 0
    assert f"Usage: tokenvault {command}" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tokenize", "in.csv", "-o", "out.csv"], "--column"),
        (["tokenize", "-c", "a=b"], "INPUT"),
        (["tokenize", "in.csv", "-c", "a=b", "-o", "out.csv"], "no service given"),
        (["tokenize", "in.csv", "-c", "=b", "-o", "out.csv"], "not NAME=FIELD"),
        (["tokenize", "in.csv", "-c", "a=b", "-c", "a=c", "-o", "out.csv"], "names 'a' twice"),
        (["tokenize", "in.csv", "-c", "a", "-o", "o", "--address", "h:1"], "missing: --ca"),
        (["tokenize", "in.csv", "-c", "a", "-o", "o", "--batch-size", "0"], "--batch-size"),
        (["erase", "in.csv", "--yes"], "--column"),
        (["erase", "in.csv", "-c", "a=b", "--yes"], "no service given"),
        (["serve", "--config", "nothing.toml"], "nothing.toml"),
        (["policy", "check", "nothing.yaml"], "nothing.yaml: No such file"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what(
    invoke: Invoke, arguments: list[str], said: str
) -> None:
    code, out, err = invoke(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_an_unreachable_service_ends_with_4(
    invoke: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pem_files: dict[str, bytes],
) -> None:
    from vault.client import CallError, Client, Column

    def away(self: Client, field: str, values: list[str], *, region: str = "") -> Column:
        raise CallError("UNAVAILABLE", "UNAVAILABLE", "connection refused", True)

    monkeypatch.setattr(Client, "tokenize", away)
    for name, content in pem_files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "in.csv").write_text(f"id,card\n1,{CANARY}\n")
    connection = ["--address", "localhost:1", "--ca", "ca", "--cert", "cert", "--key", "key"]
    code, out, err = invoke("tokenize", "in.csv", "-c", "card", "-o", "out.csv", *connection)
    assert (code, out) == (4, "")
    assert "unavailable" in err
    assert CANARY not in err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(("end", "status"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_an_interrupted_run_leaves_no_file(
    invoke: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pem_files: dict[str, bytes],
    end: BaseException,
    status: int,
) -> None:
    from vault.client import Client, Column

    def stop(self: Client, field: str, values: list[str], *, region: str = "") -> Column:
        raise end

    monkeypatch.setattr(Client, "tokenize", stop)
    for name, content in pem_files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "in.csv").write_text("id,card\n1,2\n")
    connection = ["--address", "localhost:1", "--ca", "ca", "--cert", "cert", "--key", "key"]
    code, _, _ = invoke("tokenize", "in.csv", "-c", "card", "-o", "out.csv", *connection)
    assert code == status
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca", "cert", "in.csv", "key"]


def test_an_unforeseen_error_quotes_nothing(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(source: str) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr("vault.cli.policy._read", explode)
    code, out, err = invoke("policy", "check", "policy.yaml")
    assert (code, out) == (5, "")
    assert "ValueError" in err
    assert CANARY not in err


def test_a_column_may_have_an_equals_sign_in_its_name() -> None:
    assert parse_columns(["a=b=card", "email"]) == {"a=b": "card", "email": "email"}


def test_no_command_shows_local_variables() -> None:
    assert isinstance(app, typer.Typer)
    assert app.pretty_exceptions_enable is False
