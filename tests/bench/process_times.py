"""What the processes of an environment burn and hold, by /proc: server and Postgres apart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A line of /proc/PID/stat: processor time in seconds, with that of children that ended."""

    pid: int
    parent: int
    seconds: float
    started: float


def processes() -> Iterator[Process]:
    """Every process of the machine."""
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        fields = text[text.rindex(")") + 2 :].split()
        burnt = sum(map(int, fields[11:15]))
        yield Process(int(entry.name), int(fields[1]), burnt / _TICK, int(fields[19]) / _TICK)


def family(mark: str | int) -> list[Process]:
    """A process, or those with ``mark`` in their command line, and all that they started."""
    found = {each.pid: each for each in processes()}
    members = {mark} if isinstance(mark, int) else {pid for pid in found if mark in _command(pid)}
    grown = True
    while grown:
        more = {pid for pid, each in found.items() if each.parent in members} - members
        members |= more
        grown = bool(more)
    return [found[pid] for pid in members]


def seconds_of(mark: str | int) -> float:
    """Processor time of a family so far."""
    return sum(each.seconds for each in family(mark))


def resident(mark: str | int) -> float:
    """Memory of a family in MiB, pages shared between them counted once each."""
    return sum(map(_resident, (each.pid for each in family(mark)))) / 1024


def seconds_to_serving(mark: str | int, log: Path) -> float:
    """From the start of a server's first process to the last of its processes that serves."""
    booted = next(
        float(line.split()[1])
        for line in (_PROC / "stat").read_text().splitlines()
        if line.startswith("btime")
    )
    # To the hundredth: btime has whole seconds only.
    uptime = float((_PROC / "uptime").read_text().split()[0])
    now = datetime.now().astimezone().timestamp()
    booted = now - uptime if abs(now - uptime - booted) < 2 else booted
    began = booted + min(each.started for each in family(mark))
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    serving = [each["timestamp"] for each in lines if each["event"] == "serving"]
    return datetime.fromisoformat(serving[-1]).timestamp() - began


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _resident(pid: int) -> int:
    for name, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = (_PROC / str(pid) / name).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1])
    return 0
