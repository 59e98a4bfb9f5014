"""What users and operators look things up in has all that there is, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from vault.config import Settings
from vault.formats.catalogue.table import FORMATS
from vault.policy.reading import field_entry, limit_entry, load, role_entry
from vault.postgres.roles import GRANTS

ROOT = Path(__file__).parents[3]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def rows(text: str, heading: str) -> Iterator[list[str]]:
    """The cells of the first table under a heading."""
    _, found, rest = f"\n{text}".partition(f"\n{heading}\n")
    assert found, heading
    table = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    assert table, heading
    for line in table[0].splitlines()[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_format_has_its_row_with_its_options() -> None:
    table = {first.strip("`"): cells for first, *cells in rows(page("formats.md"), "## Overview")}
    assert table.keys() == FORMATS.keys()
    for name, cells in table.items():
        assert quoted(cells[2]) == {each.key for each in FORMATS[name].options.values()}, name


def test_every_format_has_a_section_of_its_rules() -> None:
    titles = re.findall(r"(?m)^## (.+)$", page("formats.md"))
    assert FORMATS.keys() - {name for title in titles for name in title.split(", ")} == set()


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("## Top level", load._KEYS),
        ("## A field", field_entry._KEYS),
        ("## A limit", set(limit_entry._KEYS)),
        ("## A role", role_entry._RULE_KEYS),
    ],
)
def test_every_key_of_a_policy_is_explained(heading: str, keys: set[str]) -> None:
    explained = {key for first, *_ in rows(page("policy.md"), heading) for key in quoted(first)}
    assert explained == keys


def test_every_table_of_the_database_is_explained() -> None:
    table = rows(page("schema.md"), "# The database's schema")
    explained = {first.strip("`") for first, *_ in table}
    assert explained == GRANTS.keys() - {"alembic_version"}


def sections(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each section of the settings file with its keys, those of lists of sections too."""
    keys: set[str] = set()
    for key, each in model.model_fields.items():
        inner = [part for part in _parts(each.annotation) if issubclass(part, BaseModel)]
        for part in inner:
            yield from sections(part, f"{name}.{key}" if name else key)
        if not inner:
            keys.add(key)
    if keys:
        yield name, keys


def _parts(annotation: object) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, tuple):
        for part in get_args(annotation):
            yield from _parts(part)


@pytest.mark.parametrize(("name", "keys"), list(sections(Settings)))
def test_the_sample_settings_have_every_key(name: str, keys: set[str]) -> None:
    sample = (ROOT / "deploy/server.toml").read_text()
    # Sections and keys that are left out by default stand there as comments.
    _, *parts = re.split(rf"(?m)^(?:# )?\[+{re.escape(name)}\]+", sample)
    assert parts, name
    section = re.split(r"(?m)^(?:# )?\[", parts[0])[0]
    there = set(re.findall(r"(?m)^(?:# )?(\w+) = |with (\w+)", section))
    assert keys - {key for pair in there for key in pair} == set()


def test_every_task_that_repeats_is_on_the_map() -> None:
    _, _, table = page("architecture.md").partition("\n## Beside the calls\n")
    package = ROOT / "vault"
    tasks = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if " PeriodicTask(" in path.read_text()
    ]
    assert len(tasks) > 9
    assert [path for path in tasks if f"`{path}`" not in table.partition("\n## ")[0]] == []
