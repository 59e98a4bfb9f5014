"""Runs one program and ends it when its parent goes away.

Started by ``vault.dev.child`` as a script of its own, with the standard library alone.
Its parent holds the write end of a pipe: closing it, on purpose or by being killed, is
the one and only way of asking for a stop. Should this process be killed itself, the
kernel ends the program (Linux; elsewhere the program stays).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--user", type=int)
    parser.add_argument("--group", type=int)
    parser.add_argument("command", nargs="+")
    return parser.parse_args(argv)


def _die_with_parent(number: int, parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _spawn(options: argparse.Namespace) -> subprocess.Popen[bytes]:
    me = os.getpid()
    identity = {}
    if options.user is not None:
        identity = {"user": options.user, "group": options.group, "extra_groups": []}
    return subprocess.Popen(  # noqa: S603 - the command is its own arguments
        options.command,
        stdin=subprocess.DEVNULL,
        # This process has one thread, so code between fork and exec is safe.
        preexec_fn=lambda: _die_with_parent(options.signal, me),
        **identity,
    )


def _wait(child: subprocess.Popen[bytes], control: int, wakeup: socket.socket) -> None:
    """Returns when the program has ended or a stop was asked for."""
    while child.poll() is None:
        ready, _, _ = select.select([control, wakeup.fileno()], [], [])
        if control in ready and not os.read(control, 1):
            return
        if wakeup.fileno() in ready and any(n in _STOP_SIGNALS for n in wakeup.recv(64)):
            return


def _end(child: subprocess.Popen[bytes], number: int, grace: float) -> None:
    if child.poll() is not None:
        return
    child.send_signal(number)
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main(argv: Sequence[str]) -> int:
    """Runs the program until it ends or a stop is asked for; returns its exit code."""
    options = _arguments(argv)
    wakeup, ours = socket.socketpair()
    wakeup.setblocking(False)
    ours.setblocking(False)
    signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_STOP_SIGNALS):
        signal.signal(number, lambda *_: None)
    child = _spawn(options)
    _wait(child, options.fd, wakeup)
    _end(child, options.signal, options.grace)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
