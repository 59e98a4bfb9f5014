"""Text from files, the service and the database reaches the terminal without orders to it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer
from rich.console import Console

from vault.cli.exits import describe_failure
from vault.cli.main import run
from vault.cli.printable import one_line, printable, printable_streams
from vault.client import CallError, Client, Column, ItemError
from vault.dev.authority import Authority
from vault.v1.audit_service_pb2 import VerifyAuditResponse

HOSTILE = "\x1b[2J\x9b1m\u202ecard\r\u200b"
SHOWN = r"\x1b[2J\x9b1m\u202ecard\r\u200b"
Invoke = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    """Runs a command at a terminal, with a connection that nobody answers."""
    monkeypatch.chdir(tmp_path)
    made = Authority(tmp_path / "pki")
    client = made.issue_client("caller", "spiffe://example.org/caller")
    for name, path in {"CA": made.certificate_path, "CERT": client.cert, "KEY": client.key}.items():
        monkeypatch.setenv(f"TOKENVAULT_{name}", str(path))
    monkeypatch.setenv("TOKENVAULT_ADDRESS", "localhost:1")

    def call(*arguments: str) -> tuple[int, str, str]:
        out, err = Terminal(), Terminal()
        monkeypatch.setattr(sys, "argv", ["tokenvault", *arguments])
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            run()
        assert (sys.stdout, sys.stderr) == (out, err)
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.getvalue(), err.getvalue()

    return call


def test_what_a_terminal_would_obey_is_written_as_codes() -> None:
    assert printable(HOSTILE + "\n") == SHOWN + "\n"
    assert one_line("a\nb\tc") == r"a\nb\tc"
    assert printable("María Ek, 東京\n") == "María Ek, 東京\n"
    assert printable("\udcff") == r"\udcff"


def test_a_column_name_obeys_nobody(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokenize(self: Client, field: str, values: Sequence[str], *, region: str = "") -> Column:
        return Column([""], {0: ItemError(0, HOSTILE, f"no\n{HOSTILE}", False)}, 0)

    monkeypatch.setattr(Client, "tokenize", tokenize)
    name = HOSTILE.replace("\r", "")
    (tmp_path / "in.csv").write_text(f"{name},x\n1,2\n")
    _, out, err = invoke("tokenize", "in.csv", "-c", f"{name}=card", "-o", "out.csv")
    assert r"\x1b[2J\x9b1m\u202ecard" in out
    assert all(char == "\n" or char.isprintable() for char in out + _without_bar(err))
    assert r"no\n" in out


def _without_bar(err: str) -> str:
    """Leaves out the progress bar, which is there to move the cursor."""
    return "" if "rows" in err else err


def test_what_the_service_says_obeys_nobody(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = VerifyAuditResponse(records=1, writers=1)
    answer.findings.add(kind="gone", writer="w", number=1, message=f"x\nnothing is wrong{HOSTILE}")
    monkeypatch.setattr(Client, "verify_audit", lambda *_: answer)
    code, out, _ = invoke("audit", "verify")
    assert code == 1
    assert "\nnothing is wrong" not in out
    assert SHOWN in out
    message, _ = describe_failure(CallError("INTERNAL", "INTERNAL", f"a\nb{HOSTILE}", False))
    assert message == rf"the service failed: INTERNAL: a\nb{SHOWN}"


def test_a_wrong_option_and_a_file_of_others_obey_nobody(invoke: Invoke, tmp_path: Path) -> None:
    pairs = {HOSTILE: {"cert": "c", "key": "k"}}
    described = {"address": "x:1", "ca": "ca", "clients": pairs}
    (tmp_path / "dev.json").write_text(json.dumps(described))
    code, _, err = invoke("audit", "verify", "--dev", ".", "--role", "nobody")
    assert code == 2
    assert SHOWN in err
    code, _, err = invoke("policy", "check", HOSTILE.replace("\r", ""))
    assert code == 2
    assert r"\x9b" in err
    assert all(char == "\n" or char.isprintable() for char in err)


def test_data_and_progress_go_through_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    monkeypatch.setattr(sys, "stderr", Terminal())
    with printable_streams():
        sys.stdout.buffer.write(b"\x1b[2J")
        typer.echo(b"\x1b[3J", nl=False)
        assert Console(stderr=True).file is not sys.stderr
    assert raw.getvalue() == b"\x1b[2J\x1b[3J"
