"""Tiles (C2SP tlog-tiles): the tree's hashes in rows of 256, by their paths.

The tile ``index`` of a level has the hashes of 256 perfect subtrees, of 256^level leaves each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["TILE_WIDTH", "Tile", "tiles_between"]

TILE_WIDTH = 256
_HEIGHT = 8
_MAX_LEVELS = 64
_PATH = re.compile(r"tile/(0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile's place, and how many hashes it has: fewer than 256 in a partial one."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where the tile is, below the log's prefix."""
        last, rest = f"{self.index % 1000:03}", self.index // 1000
        while rest:
            last, rest = f"x{rest % 1000:03}/{last}", rest // 1000
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{self.level}/{last}{partial}"

    @classmethod
    def from_path(cls, path: str) -> Tile:
        """Reads a path in its one spelling. Raises ValueError."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise ValueError("not a tile's path")
        level, index, width = found.groups()
        tile = cls(
            int(level), int(index.replace("/", "").replace("x", "")), int(width or TILE_WIDTH)
        )
        if tile.path != path or tile.level >= _MAX_LEVELS:
            raise ValueError("not a tile's path")
        return tile


def tiles_between(old: int, new: int) -> Iterator[Tile]:
    """Yields the tiles that a tree of ``new`` leaves has and one of ``old`` had not."""
    level = 0
    while hashes := new >> _HEIGHT * level:
        before = old >> _HEIGHT * level
        if hashes > before:
            for index in range(before // TILE_WIDTH, -(-hashes // TILE_WIDTH)):
                yield Tile(level, index, min(TILE_WIDTH, hashes - index * TILE_WIDTH))
        level += 1
