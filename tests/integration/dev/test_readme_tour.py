"""The README's five-minute tour: its commands do what stands below them."""

from __future__ import annotations

import csv
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

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


def commands_of(heading: str) -> list[tuple[str, list[str]]]:
    """Every command of a section, with the lines that it prints."""
    text = README.read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
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


def test_the_readme_goes_as_it_is_told(home: Path) -> None:
    follow_the_tour(home)
    follow_the_reveals(home)  # in the same environment: one start costs more than both


def follow_the_tour(home: Path) -> None:
    commands = commands_of("A five-minute tour")
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


def follow_the_reveals(home: Path) -> None:
    own: dict[str, str] = {}  # by what the README has in its place
    settings = ""
    for command, expected in commands_of("A reveal that somebody else approves"):
        if command.startswith("tokenvault login"):
            log_in(home, command)
        elif re.match("[A-Z]+=", command):
            settings += f"{command}\n"
            own["234-80-1047"] = (home / "ssn-tokens.csv").read_text().splitlines()[-1]
        else:
            for told, ours in own.items():
                command = command.replace(told, ours)
            shown = on_a_terminal(home, settings + command)
            if expected and expected[0].startswith("id:"):
                own.setdefault(expected[0].split()[1], shown[0].split()[1])
            for told, ours in own.items():
                shown = [line.replace(ours, told) for line in shown]
            if expected[-1:] == ["..."]:
                expected = expected[:-1]
                shown = shown[: len(expected)]
            assert without_dates(shown) == without_dates(expected), command
    assert len(own) == 3


def log_in(home: Path, command: str) -> None:
    """Agrees at the issuer's page as the command's comment says."""
    agreed = re.search(r"# agree as (\w+), role (\w+)", command)
    assert agreed
    with subprocess.Popen(
        ["bash", "-uc", f"exec {command}"],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout
            page = process.stdout.readline().removeprefix("Open ").strip()
            url = urlsplit(page)
            form = f"{url.query}&person={agreed[1]}&role={agreed[2]}&decision=approve"
            tls = ssl.create_default_context(cafile=home / ".tokenvault/pki/ca.pem")
            browser = HTTPSConnection(url.netloc, context=tls, timeout=30)
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            browser.request("POST", url.path, form, kind)
            assert browser.getresponse().status == 200
            browser.close()
            assert process.wait(30) == 0
        finally:
            process.kill()


def on_a_terminal(home: Path, script: str) -> list[str]:
    """What a script prints there: some commands show values nowhere else."""
    ours, its = os.openpty()
    try:
        process = subprocess.run(
            ["bash", "-uc", script],
            cwd=home,
            env=environment(home),
            stdout=its,
            stderr=subprocess.PIPE,  # where progress is drawn on a terminal
            check=False,
            timeout=60,
        )
        os.write(its, b"$")  # so that reading never waits
        shown = os.read(ours, 65536).decode().removesuffix("$") + process.stderr.decode()
    finally:
        os.close(its)
        os.close(ours)
    assert process.returncode == 0, shown
    return shown.splitlines()


def environment(home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": path, "XDG_STATE_HOME": str(home / "state"), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own, "no_proxy": "127.0.0.1"}


def without_dates(lines: list[str]) -> list[str]:
    return [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "<date>", line) for line in lines]
