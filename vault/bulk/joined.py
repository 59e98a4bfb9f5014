"""Finds rows that two stray quotes joined, by the layout of a cell's lines, not by its contents.

A pair of quotes that was never meant as one puts the end of a row, any rows after it and the
beginning of another into one cell, and CSV has nothing against that. The record has the
header's width only if the pair opens and closes in the same column. So some line of the cell
has as many delimiters as a row has behind that column, and a later line as many as a row
has before it. Ordinary text seldom has both in that order; where it does, it is ambiguous.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

__all__ = ["LINE_END", "JoinedEnds", "joined_cell"]

LINE_END = re.compile("\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class JoinedEnds:
    """Whether a record may begin or end inside a row, judging by the records beside it."""

    begins_inside: bool = False
    ends_inside: bool = False


@dataclass(slots=True)
class _Cell:
    """A cell of several lines, and what its lines can be of rows.

    Attributes:
        before, after: delimiters in cells that share its first line, or its last.
        ends: lines that can end a row that begins before the cell.
        begins: lines that can begin a row that ends after it.
        loose: those in which nobody knows where the row's columns are.
    """

    position: int
    lines: Sequence[str]
    before: int
    after: int = 0
    ends: list[int] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    loose: set[int] = field(default_factory=set)


def joined_cell(
    values: Sequence[str],
    delimiter: str,
    chosen: Collection[int],
    blank: str,
    beside: JoinedEnds,
) -> int | None:
    """Returns the position of a cell that may hold rows with values of chosen columns, or None.

    Args:
        values: what the cells of a record mean that has the header's width.
        chosen: positions of the chosen columns.
        blank: characters that are no value by themselves.
    """
    opened: int | None = None
    for cell in _cells(values, delimiter):
        _read_lines(cell, len(values), delimiter, beside)
        others = opened is not None and any(
            position not in chosen for position in range(opened, cell.position + 1)
        )
        if others and cell.begins:
            return opened  # one stray pair ends, and another begins, in a row between them
        if (
            cell.position not in chosen
            and cell.ends
            and cell.begins
            and cell.ends[0] < cell.begins[-1]
            and _has_value(cell, len(values), delimiter, chosen, blank)
        ):
            return cell.position
        if opened is None and cell.ends:
            opened = cell.position
    return None


def _cells(values: Sequence[str], delimiter: str) -> list[_Cell]:
    cells: list[_Cell] = []
    inside = 0
    for position, value in enumerate(values):
        if "\n" in value or "\r" in value:
            cells.append(_Cell(position, LINE_END.split(value), inside))
            inside = 0
            continue
        count = value.count(delimiter)
        inside += count
        if cells:
            cells[-1].after += count
    return cells


def _read_lines(cell: _Cell, width: int, delimiter: str, beside: JoinedEnds) -> None:
    last, behind = len(cell.lines) - 1, width - 1 - cell.position
    for at, line in enumerate(cell.lines):
        count = line.count(delimiter)
        # Where the row itself has joined cells, or the row beside it is broken, any column may be.
        before = cell.before if at == 0 else 0
        after = cell.after if at == last else 0
        if at < last and (beside.begins_inside or count + before >= behind):
            cell.ends.append(at)
        if at and (beside.ends_inside or count + after >= cell.position):
            cell.begins.append(at)
        if before or after or beside.begins_inside or beside.ends_inside:
            cell.loose.add(at)


def _has_value(
    cell: _Cell, width: int, delimiter: str, chosen: Collection[int], blank: str
) -> bool:
    """Returns whether a row in the cell would have anything in the position of a chosen column."""
    behind = [position - cell.position for position in chosen if position > cell.position]
    before = [position for position in chosen if position < cell.position]
    ends = [at for at in cell.ends if at < cell.begins[-1]]
    begins = [at for at in cell.begins if at > cell.ends[0]]
    for lines, positions, least in (
        (ends, behind, width - 1 - cell.position),
        (begins, before, cell.position),
    ):
        for at in lines:
            if at in cell.loose:
                if cell.lines[at].strip(blank + delimiter):
                    return True
            elif positions and _is_filled(cell.lines[at].split(delimiter), positions, least, blank):
                return True
    return False


def _is_filled(pieces: Sequence[str], positions: Sequence[int], least: int, blank: str) -> bool:
    """Returns whether anything is in one of the positions of a line with ``least`` delimiters."""
    filled = [at for at, piece in enumerate(pieces) if piece.strip(blank)]
    more = len(pieces) - 1 - least  # any of them may stand inside a cell
    for position in positions:
        found = bisect_left(filled, position)
        if found < len(filled) and filled[found] <= position + more:
            return True
    return False
