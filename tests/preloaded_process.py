"""The process that has imported everything and forks; ``preloaded.py`` starts and asks it."""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

import vault
from tests.preloaded import FILES, WORD

# They run as programs, so that nothing has imported them.
_PROGRAMS = ("vault.dev.server", "vault.dev.child_guard")


@dataclass(frozen=True)
class Program:
    """What a fork is to be."""

    arguments: list[str]
    environment: dict[str, str]
    directory: str


class Forks:
    """Forks for each program that is asked for, and tells its end."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._told: dict[int, int] = {}
        self._wakeup, self._woken = socket.socketpair()
        for each in (self._wakeup, self._woken):
            each.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Ctrl-C is for the tests, and for what they started.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> Program | None:
        """Returns in each fork, with what it is to be, and in the end with nothing."""
        while True:
            ready, _, _ = select.select([self._control, self._wakeup], [], [])
            if self._wakeup in ready:
                self._wakeup.recv(4096)
                self._tell_ends()
            if self._control in ready:
                asked, files, _, _ = socket.recv_fds(self._control, 1 << 16, FILES)
                if not asked:
                    return None
                while not asked.endswith(b"\n"):
                    asked += self._control.recv(1 << 16)
                if self._fork(files):
                    return Program(**json.loads(asked))

    def _fork(self, files: list[int]) -> bool:
        """Returns whether this is the fork."""
        *streams, tells = files
        pid = os.fork()
        if pid == 0:
            self._leave(streams)
            return True
        self._told[pid] = tells
        for each in streams:
            os.close(each)
        self._control.sendall(WORD.pack(pid))
        return False

    def _tell_ends(self) -> None:
        while self._told:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            tells = self._told.pop(pid)
            os.write(tells, WORD.pack(os.waitstatus_to_exitcode(status)))
            os.close(tells)

    def _leave(self, streams: list[int]) -> None:
        """Leaves a fork with the signals and files that an interpreter starts with."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for each in (self._control, self._wakeup, self._woken):
            each.detach()
        os.closerange(len(streams), 1024)


class Ending:
    """Ends a program without taking the interpreter apart: a fork would copy all of it for that."""

    def __init__(self) -> None:
        self._code: int | None = None
        # The first is called last: threads have ended, and what others registered is done.
        atexit.register(self._end)

    def run(self, arguments: list[str]) -> None:
        """Runs the program and lets its end pass."""
        try:
            _run(arguments)
            self._code = 0
        except SystemExit as end:
            self._code = end.code if isinstance(end.code, int) else int(end.code is not None)
            raise

    def _end(self) -> None:
        # Whatever is not as it should be, the interpreter says in its own way.
        if self._code is not None:
            with suppress(Exception):
                sys.stdout.flush()
                os._exit(self._code)


def _run(arguments: list[str]) -> None:
    program, *rest = arguments
    if program == sys.executable:
        option, module, *rest = rest
        assert option == "-m"
        sys.argv = [module, *rest]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(program, run_name="__main__")


def _renew_streams() -> None:
    """Opens the streams anew: these have asked once what kind of file they are."""

    def renewed(stream: TextIO, mode: str, *, by_line: bool = False) -> TextIO:
        binary = os.fdopen(stream.fileno(), mode, closefd=False)
        return io.TextIOWrapper(
            binary, stream.encoding, stream.errors, newline="\n", line_buffering=by_line
        )

    sys.stdin = renewed(sys.stdin, "rb")
    sys.stdout = renewed(sys.stdout, "wb")
    sys.stderr = renewed(sys.stderr, "wb", by_line=True)


def main() -> None:
    """Imports everything and forks until the tests are over; in a fork, runs its program."""
    ending = Ending()
    before = set(os.environ)
    for module in pkgutil.walk_packages(vault.__path__, "vault."):
        if module.name not in _PROGRAMS:
            importlib.import_module(module.name)
    imports_set = {name: os.environ[name] for name in set(os.environ) - before}
    gc.collect()
    gc.freeze()
    program = Forks(socket.socket(fileno=int(sys.argv[1]))).serve()
    if program is not None:
        os.environ.clear()
        os.environ.update(imports_set | program.environment)
        os.chdir(program.directory)
        _renew_streams()
        ending.run(program.arguments)


if __name__ == "__main__":
    main()
