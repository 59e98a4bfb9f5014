"""What ``-`` means, and how a command ends whose reader or asker has gone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from vault.client import Client
from vault.v1.audit_service_pb2 import (
    AuditRecord,
    CheckpointAuditResponse,
    TailAuditResponse,
    VerifyAuditResponse,
)

Invoke = Callable[..., tuple[int, str, str]]
TOKENVAULT = str(Path(sys.executable).parent / "tokenvault")


def _answered(answer: object, *_: object, **__: object) -> object:
    return answer


@pytest.fixture
def connection(
    tmp_path: Path, pem_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    directory = tmp_path / "pem"
    directory.mkdir()
    for name, content in pem_files.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
    answers = {
        "tail_audit": TailAuditResponse(records=[AuditRecord(position=1, body="{}")], next=2),
        "checkpoint_audit": CheckpointAuditResponse(checkpoint='{"a":1}\n'),
        "verify_audit": VerifyAuditResponse(records=1, writers=1),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(Client, name, partial(_answered, answer))
    files = [f"--{name}={directory / name}" for name in ("ca", "cert", "key")]
    return ["--address=localhost:1", *files]


def test_an_export_to_standard_output(
    invoke: Invoke, connection: list[str], tmp_path: Path
) -> None:
    code, out, err = invoke("audit", "export", "-o", "-", *connection)
    assert code == 0
    assert json.loads(out)["position"] == 1
    assert err == "1 records written to standard output; the next is --from 2\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pem"]


def test_a_checkpoint_to_standard_output_and_from_standard_input(
    invoke: Invoke, connection: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("audit", "checkpoint", "-o", "-", *connection) == (0, '{"a":1}\n', "")
    assert [path.name for path in tmp_path.iterdir()] == ["pem"]
    asked: list[str] = []

    def verify(_: Client, earlier: str) -> VerifyAuditResponse:
        asked.append(earlier)
        return VerifyAuditResponse()

    with (tmp_path / "kept").open("w+") as kept:
        kept.write('{"a":1}\n')
        kept.seek(0)
        monkeypatch.setattr("sys.stdin", kept)
        monkeypatch.setattr(Client, "verify_audit", verify)
        assert invoke("audit", "verify", "--checkpoint", "-", *connection)[0] == 0
    assert asked == ['{"a":1}\n']


@pytest.mark.parametrize("command", ["tokenize", "detokenize", "erase"])
def test_rejects_have_a_file_of_their_own(invoke: Invoke, command: str, tmp_path: Path) -> None:
    code, out, err = invoke(command, "in.csv", "-c", "a", "--rejects", "-", "--dev", "d")
    assert (code, out) == (2, "")
    assert "rejects need a file" in err


def test_a_device_is_written_to_by_the_shell(invoke: Invoke, connection: list[str]) -> None:
    code, out, err = invoke("audit", "export", "-o", "/dev/null", *connection)
    assert (code, out) == (2, "")
    assert "say - for standard output" in err
    command = ("tokenize", "in.csv", "-c", "a", "-o", "out", "--rejects", "/dev/null")
    assert "leave --rejects out" in invoke(*command, *connection)[2]


def test_a_reader_that_left_is_no_finding() -> None:
    code = (
        "import sys, typer\n"
        "from vault.cli import main\n"
        "@main.app.command()\n"
        "def lines() -> None:\n"
        "    for number in range(100_000): typer.echo(number)\n"
        "sys.argv = ['tokenvault', 'lines']\n"
        "main.run()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def asked(tmp_path: Path, answer: bytes) -> tuple[int, str]:
    """Answers the question of ``erase`` on a terminal."""
    described = {"address": "localhost:1", "ca": "c", "clients": {"r": {"cert": "c", "key": "k"}}}
    (tmp_path / "dev.json").write_text(json.dumps(described))
    (tmp_path / "in.csv").write_text("a\n1\n")
    process, terminal = pty.fork()
    if not process:
        os.chdir(tmp_path)
        options = ["-c", "a=f", "--dev", ".", "--role", "r"]
        os.execv(TOKENVAULT, [TOKENVAULT, "erase", "in.csv", *options])  # noqa: S606
    said = b""
    while b"[y/N]" not in said:
        said += os.read(terminal, 1024)
    status = ended_after(process, lambda: os.write(terminal, answer))
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), said.decode()


def ended_after(process: int, press: Callable[[], object]) -> int:
    """Returns how a process ended once keys were pressed; presses again where it did not.

    A signal that comes when the question is there and the read has not begun is noticed by
    Python with the next key only.
    """
    while True:
        press()
        again = time.monotonic() + 10
        while time.monotonic() < again:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.01)


@pytest.mark.parametrize(("answer", "code"), [(b"\x03", 130), (b"n\n", 1), (b"\x04", 1)])
def test_ctrl_c_at_a_question_is_ctrl_c(tmp_path: Path, answer: bytes, code: int) -> None:
    ended, said = asked(tmp_path, answer)
    assert ended == code
    assert "in 1 column (f) for good?" in said
