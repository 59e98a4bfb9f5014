"""What is wrong with a policy file, and where."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from vault.errors import PolicyError

__all__ = ["InvalidPolicy", "Mark", "Problem", "position"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with the file. Line and column count from 1."""

    line: int
    column: int
    path: str
    message: str

    def text(self, source: str) -> str:
        """Returns the problem as one line, ``source:line:column: path: message``."""
        place = f"{source}:{self.line}:{self.column}: "
        return place + (f"{self.path}: {self.message}" if self.path else self.message)


class InvalidPolicy(PolicyError):
    """The policy file is refused; ``problems`` has everything found, in file order."""

    def __init__(self, source: str, problems: Collection[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(problem.text(source) for problem in self.problems))


class Mark(Protocol):
    """PyYAML's mark: line and column from 0."""

    line: int
    column: int


def position(mark: Mark | None) -> tuple[int, int]:
    """Returns a mark's line and column, from 1."""
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
