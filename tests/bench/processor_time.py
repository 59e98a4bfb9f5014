"""Processor time that processes have taken, as Linux counts it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["postgres_processes", "taken"]

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields after the program's name, which is in parentheses and may hold anything.
_PARENT, _USER, _SYSTEM, _USER_WAITED, _SYSTEM_WAITED = 1, 11, 12, 13, 14


def taken(pids: Iterable[int]) -> float:
    """Returns seconds of user and system time; of ended children too, once waited for."""
    seconds = 0
    for pid in pids:
        fields = _fields(pid)
        times = (_USER, _SYSTEM, _USER_WAITED, _SYSTEM_WAITED)
        seconds += sum(int(fields[at]) for at in times) if fields else 0
    return seconds / _TICKS


def postgres_processes(data: Path) -> list[int]:
    """Returns the processes of the server with a data directory."""
    server = int((data / "postmaster.pid").read_text().split()[0])
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    parents = {pid: fields[_PARENT] for pid in pids if (fields := _fields(pid))}
    return [server, *(pid for pid, parent in parents.items() if int(parent) == server)]


def _fields(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
