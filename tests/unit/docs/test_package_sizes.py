"""The tree stays one that a reader can take in: no folder of many modules."""

from __future__ import annotations

from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "vault"
MAX_MODULES = 25
FOLDERS = sorted(
    path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE / "v1"
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_a_package_has_few_modules_of_its_own(folder: Path) -> None:
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert len(modules) <= MAX_MODULES, f"{folder.name}: part it into packages"


def test_all_packages_are_looked_at() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert folders - set(FOLDERS) == {PACKAGE / "v1"}
