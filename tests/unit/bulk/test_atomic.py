import os
import stat
from pathlib import Path

import pytest

from vault.bulk.atomic import atomic_output


def test_a_file_appears_at_the_end_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with atomic_output(path) as stream:
        stream.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("end", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_it_early_leaves_what_was_there(
    tmp_path: Path, end: type[BaseException]
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    with pytest.raises(end), atomic_output(path) as stream:
        stream.write(b"half")
        raise end
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.touch()
    link.symlink_to(path)
    with atomic_output(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


def test_what_is_no_regular_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"), atomic_output(path):
        pass
    assert path.is_fifo()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/null"])
def test_names_of_open_files_are_refused(tmp_path: Path, name: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(name)
    for path in (Path(name), link):
        with pytest.raises(OSError, match="say - for standard output"), atomic_output(path):
            pass


def test_an_open_file_is_not_replaced_by_its_descriptor(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("before")
    with log.open("ab") as stream:
        path = Path(f"/dev/fd/{stream.fileno()}")
        with pytest.raises(OSError, match="open file"), atomic_output(path) as out:
            out.write(b"after")
    assert log.read_text() == "before"
