"""Keeps escape sequences out of what the command line prints.

Names of columns, answers of the service and text of the database may hold escape sequences,
and a terminal obeys them: it hides lines, or overwrites others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, cast

__all__ = ["one_line", "printable", "printable_streams", "table", "without_controls"]

_KEPT = "\n\t"


def printable(text: str) -> str:
    """Returns text whose control and unseen characters are written as escape codes."""
    if text.isprintable():
        return text
    return "".join(
        char
        if char in _KEPT or char.isprintable()
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def one_line(text: str) -> str:
    """Returns printable text without line ends of its own: it cannot pose as another line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Sequence[str]:
    """Returns the lines of a table, a row each, its columns as wide as what is in them."""
    lines = [[one_line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def without_controls(text: str) -> str:
    """Returns text of one line, with ``?`` for each character that a terminal might obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


class _Printable:
    """A stream of text that writes what is printable, and is the other stream in all else."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # rich writes its own escape sequences there

    def write(self, text: str) -> int:
        return self.rich_proxied_file.write(printable(text))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the stream behind it
        return getattr(self.rich_proxied_file, name)


@contextmanager
def printable_streams() -> Iterator[None]:
    """Lets standard output and error print what is printable; their buffers take data as before."""
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _Printable(sys.stdout))
    sys.stderr = cast(TextIO, _Printable(sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
