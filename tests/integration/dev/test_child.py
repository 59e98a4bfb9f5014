from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vault.dev.child import Child

STUBBORN = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up', flush=True)\n"
    "time.sleep(60)\n"
)
SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def eventually(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def python(program: str, log: Path, grace: float = 5.0) -> Child:
    return Child("program", [sys.executable, "-c", program], log=log, grace=grace)


def test_reports_how_the_program_ended(tmp_path: Path) -> None:
    child = python("print('last words'); raise SystemExit(7)", tmp_path / "log")
    child.start()
    eventually(lambda: child.exit_code() is not None)
    assert child.exit_code() == 7
    assert child.log_tail() == "last words"
    assert child.stop() == 7


def test_stops_by_the_signal(tmp_path: Path) -> None:
    child = python(SLEEPER, tmp_path / "log")
    child.start()
    eventually(lambda: child.log_tail() != "")
    assert child.stop() == 128 + signal.SIGTERM


def test_kills_after_the_grace(tmp_path: Path) -> None:
    child = python(STUBBORN, tmp_path / "log", grace=0.3)
    child.start()
    eventually(lambda: child.log_tail() == "up")
    assert child.stop() == 128 + signal.SIGKILL


def test_stop_may_be_called_before_start_and_twice(tmp_path: Path) -> None:
    child = python(SLEEPER, tmp_path / "log")
    assert child.stop() is None
    child.start()
    child.stop()
    assert child.stop() is not None


def test_nothing_of_the_environment_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "s.secret")
    child = python("import os; print(sorted(os.environ))", tmp_path / "log")
    child.start()
    eventually(lambda: child.exit_code() is not None)
    child.stop()
    assert "VAULT_TOKEN" not in child.log_tail()
    assert "PATH" in child.log_tail()


def test_the_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    child = python("pass", tmp_path / "log")
    child.start()
    child.stop()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_a_killed_keeper_takes_the_program_along(tmp_path: Path) -> None:
    child = python(SLEEPER, tmp_path / "log")
    child.start()
    eventually(lambda: child.log_tail() != "")
    pid = int(child.log_tail())
    assert child._guard is not None
    child._guard.kill()
    eventually(lambda: not alive(pid))
    child.stop()


def test_a_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        "import os, pathlib, sys, time\n"
        "from vault.dev.child import Child\n"
        f"log = pathlib.Path({str(log)!r})\n"
        f"child = Child('x', [sys.executable, '-c', {SLEEPER!r}], log=log)\n"
        "child.start()\n"
        "while not child.log_tail(): time.sleep(0.02)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL
    pid = int(log.read_text())
    eventually(lambda: not alive(pid))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
