"""Values of files: read again when they change, kept when they are bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from vault.errors import ConfigError
from vault.rpc.authn.reloading import FileWatch, Reloading


def number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        raise ConfigError("is no number") from None


def test_a_changed_file_counts_at_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    files = Reloading("a number", [path], lambda: number(path))
    assert files.current() == 1
    path.write_text("22")
    assert files.current() == 22


def test_a_bad_file_leaves_the_old_value_and_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    files = Reloading("a number", [path], lambda: number(path))
    path.write_text("none")
    assert [files.current() for _ in range(3)] == [1, 1, 1]
    assert "".join(capsys.readouterr()).count("refused") == 1
    path.unlink()
    assert files.current() == 1
    path.write_text("333")
    assert files.current() == 333


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    reads: list[int] = []
    files = Reloading("a number", [path], lambda: reads.append(1))
    for _ in range(3):
        files.current()
    assert len(reads) == 1


def test_a_first_file_that_is_bad_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Reloading("a number", [tmp_path / "none"], lambda: number(tmp_path / "none"))


def test_a_refused_file_shows_until_it_is_mended_though_nobody_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    files = Reloading("a number", [path], lambda: number(path))
    watch = FileWatch()
    watch.add("numbers of the first endpoint", files.problem)
    watch.add("numbers of the second endpoint", lambda: "")
    watch.probe()
    path.write_text("none")
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            watch.probe()
        assert caught.value.message == (
            "the old ones stay: numbers of the first endpoint: is no number"
        )
    assert files.current() == 1
    path.write_text("22")
    watch.probe()
    path.unlink()
    with pytest.raises(ConfigError):
        watch.probe()
