"""The command line as a shell calls it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vault.cli.main import run
from vault.dev.authority import Authority

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def pem_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """An authority, a certificate and its key."""
    authority = Authority(tmp_path_factory.mktemp("authority") / "pki")
    made = authority.issue_client("caller", "spiffe://example.org/caller")
    files = {"ca": authority.certificate_path, "cert": made.cert, "key": made.key}
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.fixture
def invoke(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Invoke:
    monkeypatch.chdir(tmp_path)
    for name in ("ADDRESS", "CA", "CERT", "KEY"):
        monkeypatch.delenv(f"TOKENVAULT_{name}", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tokenvault", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return int(code or 0), out, err

    return call
