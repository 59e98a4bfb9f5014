"""Receipts that a command is answered, added to a file: a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ReceiptsOption", "receipts_file"]

ReceiptsOption = Annotated[
    Path | None,
    typer.Option(
        "--receipts",
        metavar="FILE",
        help="Where the policy gives receipts: add them to FILE, a line each.",
    ),
]


@contextmanager
def receipts_file(path: Path | None) -> Iterator[Callable[[str], object]]:
    """Yields what keeps a receipt; each is written as it comes, since what follows may fail.

    Raises OSError before anything is asked for that could not be kept.
    """
    if path is None:
        yield lambda _: None
        return
    with path.open("a", encoding="ascii", newline="\n", buffering=1) as stream:
        yield lambda receipt: stream.write(f"{receipt}\n")
