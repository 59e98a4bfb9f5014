"""Secrets in files, and who may read those."""

from __future__ import annotations

from pathlib import Path

import pytest

from vault.config import read_secret
from vault.errors import ConfigError


def test_a_secret_is_read_without_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    assert read_secret(path, "database.password_file") == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_a_secret_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret")
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        read_secret(path, "database.password_file")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_secret_must_be_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"is empty|is not text"):
        read_secret(path, "database.password_file")


def test_a_missing_secret_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keys\.auth\.token_file: .* cannot be read"):
        read_secret(tmp_path / "none", "keys.auth.token_file")
