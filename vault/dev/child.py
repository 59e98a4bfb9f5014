"""A child process that never outlives this one, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vault.dev.unprivileged import AS_CALLER, ProcessIdentity

__all__ = ["Child"]

_GUARD = Path(__file__).with_name("child_guard.py")
# What a server may need from our environment; nothing else is handed on.
_INHERITED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


class Child:
    """One program under a guard, in a session of its own.

    A guard rather than PR_SET_PDEATHSIG alone, because that signal follows the death of
    the *thread* that started the child, and environments start their parts in threads.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 20.0,
        identity: ProcessIdentity = AS_CALLER,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describes the child; ``grace`` is how many seconds a stop may take before SIGKILL."""
        self.name = name
        self.log = log
        self._command = [*identity.prefix, *command]
        self._signal = stop_signal
        self._grace = grace
        self._identity = identity
        self._environment = {k: os.environ[k] for k in _INHERITED if k in os.environ}
        self._environment |= environment or {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._control: int | None = None

    def start(self) -> None:
        """Starts the program; its output goes to the log (0600)."""
        read, write = os.pipe()
        try:
            with open(self.log, "ab", opener=_private) as log:
                self._guard = subprocess.Popen(  # noqa: S603 - programs we chose
                    [sys.executable, "-I", "-S", str(_GUARD), *self._options(read)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(read,),
                    start_new_session=True,
                    env=self._environment,
                )
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        self._control = write

    def _options(self, control: int) -> list[str]:
        options = [f"--fd={control}", f"--signal={self._signal.value}", f"--grace={self._grace}"]
        if self._identity.user is not None:
            options += [f"--user={self._identity.user}", f"--group={self._identity.group}"]
        return [*options, "--", *self._command]

    def exit_code(self) -> int | None:
        """Returns the exit code of an ended program, or None while it runs."""
        return None if self._guard is None else self._guard.poll()

    def stop(self) -> int | None:
        """Asks the program to stop and waits until it has; returns its exit code."""
        if self._control is not None:
            os.close(self._control)
            self._control = None
        if self._guard is None:
            return None
        # The guard itself turns to SIGKILL once the grace is over.
        return self._guard.wait(self._grace + 10)

    def log_tail(self, lines: int = 5) -> str:
        """Returns the end of the log, for an operator's eyes."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
