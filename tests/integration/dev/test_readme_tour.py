"""The README's five-minute tour: its commands do what stands below them."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vault.dev.environment import DevEnvironment

README = Path(__file__).parents[3] / "README.md"
# What another installation, another day and another terminal have of their own.
OWN = (
    (r"^ +\d+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  ", "<position and time>  "),
    (r"request [0-9a-f]{4,}…?", "request <id>"),
    (r"^\d+ records of", "<some> records of"),
)
TOKENS = ("Ja Ncf", "5133030263321876")


def tour() -> list[tuple[str, list[str]]]:
    """Every command of the tour, with the lines that it prints."""
    text = README.read_text(encoding="utf-8")
    section = text.split("\n## A five-minute tour\n")[1].split("\n## ")[0]
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    # The environment runs already, and its programs are found.
    return [each for each in found if not each[0].startswith((". ", "tokenvault dev"))]


def without_own(lines: list[str]) -> list[str]:
    for pattern, stands_for in OWN:
        lines = [re.sub(pattern, stands_for, line) for line in lines]
    return sorted(lines)  # on a terminal standard output and error are one


@pytest.fixture
def home(private_tmp: Path) -> Iterator[Path]:
    with DevEnvironment(private_tmp / ".tokenvault"):
        yield private_tmp


def test_the_tour_goes_as_it_is_told(home: Path) -> None:
    commands = tour()
    assert len(commands) > 8
    shell_path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    tokens = TOKENS
    for command, expected in commands:
        if "audit tail" in command:
            # Nobody types so fast: a record has its place in the log within a second.
            time.sleep(1.5)
        done = subprocess.run(
            ["bash", "-uc", command],
            cwd=home,
            env={**os.environ, "PATH": shell_path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
            timeout=60,
        )
        if command.startswith("cat tokens.csv"):
            _, (name, card), _ = csv.reader(done.stdout.splitlines())
            tokens = (name, card)
        shown = done.stdout
        for told, own in zip(TOKENS, tokens, strict=True):
            shown = shown.replace(own, told)
        assert without_own(shown.splitlines()) == without_own(expected), command
