"""Programs of this project, without the start of an interpreter for each.

One process has imported what they do, and forks for each of them: to import takes a server a
second, and a command ten times as long as its work. From there on a program runs as it would,
from its own first line to the interpreter's end, with its own arguments, environment, directory
and streams. How a program starts, and what it imports, is for tests that start it themselves.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
TOKENVAULT = Path(sys.executable).parent / "tokenvault"
Stream = IO[bytes] | IO[str]
# Between this process and the one that forks: a process's number, or an exit code.
WORD = struct.Struct("=i")
FILES = 4  # a program's three streams, and what is told its end
_lock = threading.Lock()


class Process:
    """A program that runs; it has what tests use of ``subprocess.Popen``."""

    def __init__(self, arguments: Sequence[str], pid: int, ended: int) -> None:
        """Describes it; ``ended`` is a pipe that tells its exit code."""
        self.args = arguments
        self.pid = pid
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        return self._await(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._await(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _await(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            # Unlike select(), it takes a file of any number.
            ended = select.poll()
            ended.register(self._ended, select.POLLIN)
            if ended.poll(None if timeout is None else timeout * 1000):
                (self.returncode,) = WORD.unpack(os.read(self._ended, WORD.size))
                os.close(self._ended)
        return self.returncode


def start(
    command: Sequence[str | Path],
    *,
    stdin: Stream | None = None,
    stdout: Stream | None = None,
    stderr: Stream | None = None,
    directory: Path | None = None,
) -> Process:
    """Starts a script, or a module after ``[sys.executable, "-m"]``.

    Streams that are not given are this process's own, as with ``subprocess``.
    """
    arguments = [str(word) for word in command]
    asked = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "directory": str(directory or Path.cwd()),
    }
    ended, tells = os.pipe()
    streams = [
        own if given is None else given.fileno()
        for own, given in enumerate((stdin, stdout, stderr))
    ]
    try:
        with _lock:
            control = _preloaded()
            socket.send_fds(control, [json.dumps(asked).encode() + b"\n"], [*streams, tells])
            (pid,) = WORD.unpack(control.recv(WORD.size, socket.MSG_WAITALL))
    finally:
        os.close(tells)
    return Process(arguments, pid, ended)


def run(
    command: Sequence[str | Path], *, given: bytes = b"", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, and returns what it printed, its line ends as they are."""
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        stdin.write(given)
        stdin.seek(0)
        process = start(command, stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(timeout)
        except BaseException:
            process.kill()
            raise
        out, err = (_whole(each).decode() for each in (stdout, stderr))
    return subprocess.CompletedProcess(process.args, code, out, err)


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


@cache
def _preloaded() -> socket.socket:
    """A connection to the process that forks, started on first use; it ends with this one."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded_process", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            # numpy would start threads, of which a fork has none.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
