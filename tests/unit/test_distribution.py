"""One name on the package index, and everything that says what to install is built from it.

The name `tokenvault` there is a stranger's package: whoever follows a hint with that name
runs a stranger's code where keys and tokens are.
"""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from vault.distribution import DISTRIBUTION, install_hint

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What installs by name, and the words after it up to the line's end.
_INSTALLS = re.compile(
    r"\b(?:pip|pipx|uv|uvx|poetry)3?\s+(?:pip\s+)?(?:install|add|run|tool)\b(.*)"
)
_OURS = re.compile(r"\btokenvault(?:[-_.]fpe)?(?=\[|[-_]\*|[\s'\"`]|$)", re.IGNORECASE)
# The project as it calls itself, with an extra: a requirement, wherever it stands.
_REQUIREMENT = re.compile(r"\b(token[-_.]?vault(?:[-_.]?[a-z]+)?)\[[a-z,]+\]", re.IGNORECASE)


def texts() -> list[Path]:
    files = [path for path in ROOT.iterdir() if path.is_file()]
    for tree in (".ci", "deploy", "docs", "migrations", "proto", "tests", "vault"):
        files += [path for path in (ROOT / tree).rglob("*") if path.is_file()]
    kept = {"", ".md", ".py", ".toml", ".yaml", ".sh", ".hcl", ".proto"}
    return [path for path in files if path.suffix in kept and path != Path(__file__)]


def test_the_name_is_the_metadata_s() -> None:
    assert DISTRIBUTION == PROJECT["name"] == "tokenvault-fpe"
    assert metadata.version(DISTRIBUTION) == PROJECT["version"]


def test_the_command_and_the_import_keep_their_names() -> None:
    assert list(PROJECT["scripts"]) == ["tokenvault"]
    assert "vault" in (metadata.distribution(DISTRIBUTION).read_text("RECORD") or "")


def test_nothing_tells_people_to_install_a_stranger_s_package() -> None:
    wrong = []
    for path in texts():
        text = path.read_text(encoding="utf-8", errors="replace")
        names = _REQUIREMENT.findall(text)
        for words in _INSTALLS.findall(text):
            names += _OURS.findall(words)
        wrong += [f"{path}: {name}" for name in names if name.replace("_", "-") != DISTRIBUTION]
    assert wrong == []


def test_no_code_writes_the_name_but_where_it_is_defined() -> None:
    wrong = []
    for path in (ROOT / "vault").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            names = DISTRIBUTION in node.value or re.search(r"\bpip install\b", node.value)
            if names and path.name != "distribution.py":
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_a_hint_names_an_extra_that_there_is(extra: str) -> None:
    assert install_hint(extra) == f"install the extra: pip install '{DISTRIBUTION}[{extra}]'"


def test_every_hint_in_the_code_is_for_an_extra_that_there_is() -> None:
    asked = []
    for path in (ROOT / "vault").rglob("*.py"):
        asked += re.findall(r"install_hint\(\"([^\"]*)\"\)", path.read_text(encoding="utf-8"))
    assert sorted(set(asked)) == sorted(PROJECT["optional-dependencies"])
