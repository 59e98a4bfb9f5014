"""The map's paths and names exist, its floors are the layers, and a word's file defines it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from vault.config.sections import Settings
from vault.errors import Reason

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "vault"
MAP = (ROOT / "docs/architecture.md").read_text()
QUOTED = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#]+)")
PATH = re.compile(r"[a-z0-9_./-]+/[a-z0-9_./-]*|[a-z0-9_-]+\.(?:py|md|toml)")
NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
SETTING = re.compile(r"\[(\w+)\] (\w+)|(server)\.(\w+)")
# Names of the wire and of the sample policy, not of the code.
EXAMPLES = {"errors", "field_shapes", "full", "last4", "probe_interval", "token"}


def section(title: str) -> str:
    _, found, rest = MAP.partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def rows(text: str) -> Iterator[list[str]]:
    """The rows of a text's tables, their heads left out."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        head = lines[number + 1].startswith("|---") if number + 1 < len(lines) else False
        if line.startswith("|") and not line.startswith("|---") and not head:
            yield [cell.strip() for cell in line[1:-1].split("|")]


def quoted(text: str) -> list[str]:
    return QUOTED.findall(text)


def exists(path: str) -> bool:
    return any((base / path).exists() for base in (PACKAGE, ROOT, ROOT / "docs"))


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a module defines: classes, functions, arguments, and what is assigned."""
    found: set[str] = {path.stem}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return frozenset(found)


@cache
def every_name() -> frozenset[str]:
    modules = [names_in(path) for path in PACKAGE.rglob("*.py") if "_pb2" not in path.name]
    packages = {path.parent.name for path in PACKAGE.rglob("__init__.py")}
    return frozenset(packages | {reason.value for reason in Reason}.union(*modules))


def calls(text: str) -> list[str]:
    """Names in code style: those of calls too (``Tokenize(...)``), without their arguments."""
    return [name for name in (each.partition("(")[0] for each in quoted(text)) if name]


def test_every_path_exists() -> None:
    paths = [each for each in quoted(MAP) if PATH.fullmatch(each)]
    assert len(paths) > 100
    assert [path for path in [*paths, *LINK.findall(MAP)] if not exists(path)] == []


def test_every_code_name_exists() -> None:
    stubs = "".join(path.read_text() for path in (ROOT / "proto/vault/v1").glob("*.proto"))
    names = [each for each in calls(MAP) if NAME.fullmatch(each) and not SETTING.fullmatch(each)]
    assert len(names) > 100
    unknown = [
        name
        for name in names
        if not PATH.fullmatch(name)
        and not set(name.split(".")) <= every_name() | EXAMPLES
        and not re.search(rf"rpc {name}\(", stubs)
    ]
    assert unknown == []


def test_every_setting_exists() -> None:
    found = [match for each in quoted(MAP) if (match := SETTING.fullmatch(each))]
    assert found
    for match in found:
        name, key = match[1] or match[3], match[2] or match[4]
        part = Settings.model_fields[name].annotation
        assert part is not None
        assert key in part.model_fields, match[0]


def test_the_floors_are_the_layers_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [each["layers"] for each in contracts["contracts"] if each["id"] == "layers"]
    floors: dict[str, list[str]] = {}
    floor = ""
    for number, packages, _ in rows(section("The floors")):
        floor = number or floor
        floors.setdefault(floor, []).extend(quoted(packages))
    numbers = [str(number) for number in range(len(layers), 0, -1)]
    assert list(floors) == numbers
    for number, layer in zip(numbers, layers, strict=True):
        named = {name for name in floors[number] if "/" not in name}
        assert named == set(re.findall(r"\w+", layer)), number
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    named = {name for names in floors.values() for name in names if "/" not in name}
    assert there - {"__init__", "__pycache__", "py"} <= named


WORDS = [(word, where) for word, _, where in rows(section("Words"))]


@pytest.mark.parametrize(("word", "where"), WORDS, ids=[word for word, _ in WORDS])
def test_a_words_file_defines_it(word: str, where: str) -> None:
    paths = quoted(where)
    assert paths
    defined = frozenset().union(*(names_in(PACKAGE / path) for path in paths))
    assert [name for name in quoted(word) if name not in defined] == []


def test_no_word_is_explained_twice() -> None:
    words = [word for word, _ in WORDS]
    assert len(words) == len(set(words)) > 80
