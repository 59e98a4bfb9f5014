"""Follows a changed policy file in the server's log, for the console."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from vault.server.policy_source import DELAYED, IN_FORCE, IN_FORCE_AGAIN, REFUSED, WAITING

__all__ = ["PolicyLogReader"]

_MAX_BYTES = 1 << 20  # bytes taken in at once
_SHORT = 12  # characters of a digest: enough to distinguish two files


class PolicyLogReader:
    """New lines about the policy at the end of a log that grows.

    Workers log each for itself: the same message from another of them is not repeated.
    """

    def __init__(self, log: Path) -> None:
        """Begins at the log's present end."""
        self._log = log
        self._position = log.stat().st_size if log.exists() else 0
        self._rest = b""
        self._last = ""

    def read(self) -> list[str]:
        """Returns the messages since the last reading."""
        messages = []
        for line in self._lines():
            text = _message(line)
            if text and text != self._last:
                messages.append(text)
            self._last = text or self._last
        return messages

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._log.open("rb") as stream:
                stream.seek(self._position)
                new = stream.read(_MAX_BYTES)
        except OSError:
            return
        self._position += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        # Of a line without an end only so much is kept as could be one of ours.
        self._rest = self._rest[-_MAX_BYTES:]
        yield from whole


def _message(line: bytes) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(entry, dict):
        return ""
    problem, digest = str(entry.get("problem", "")), str(entry.get("policy", ""))[:_SHORT]
    messages = {
        REFUSED: _block("Policy REFUSED, the one before it stays in force:", problem),
        DELAYED: _block("Policy not taken up yet, tried again:", problem),
        WAITING: f"Policy {digest} waits for the other servers.",
        IN_FORCE: f"Policy {digest} is in force.",
        IN_FORCE_AGAIN: f"Policy {digest}, which is in force, is what the file says again.",
    }
    return messages.get(str(entry.get("event")), "")


def _block(head: str, problem: str) -> str:
    lines = ("".join(c if c.isprintable() else "?" for c in line) for line in problem.splitlines())
    return "\n  ".join([head, *lines])
