"""CONTRIBUTING names files and commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
# What a reader fills in.
OWN = re.compile(r"NAME|NNNN_what")


def test_every_path_exists() -> None:
    quoted = re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:md|toml|py))`", TEXT)
    linked = re.findall(r"\]\(([^)#]+)", TEXT)
    run = [word for line in re.findall(r"(?m)^    (.+)$", TEXT) for word in line.split()[1:]]
    paths = {path for path in [*quoted, *linked, *run] if not OWN.search(path)}
    assert len(paths) > 40
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    named = set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert len(named) > 5
    assert named - targets == set()
