"""The tiles that a log got since it was last published, checked against its root.

What is read for them is not believed: every whole tile must be what the tile above has of it,
and the unfinished ones at the right edge must together give the root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vault.audit.merkle import EMPTY, Tree
from vault.audit.tlog.proofs import perfect_tree_hash
from vault.audit.tlog.tiles import TILE_WIDTH, Tile, tiles_between

__all__ = ["HashesOf", "make_tiles"]

HashesOf = Callable[[int, int, int], Sequence[bytes]]
"""Returns the hashes of so many perfect trees of 2^level leaves, from an index on."""

_TILE_HEIGHT = 8  # TILE_WIDTH is 2 to this power


def make_tiles(
    old: int, size: int, root: bytes, hashes_of: HashesOf
) -> dict[Tile, Sequence[bytes]]:
    """Returns the tiles of a log of ``size`` entries that one of ``old`` entries had not.

    Raises ValueError where they do not belong to the root.
    """
    made: dict[Tile, Sequence[bytes]] = {}

    def content(tile: Tile) -> Sequence[bytes]:
        if tile not in made:
            first = tile.index * TILE_WIDTH
            made[tile] = hashes_of(tile.level * _TILE_HEIGHT, first, tile.width)
        return made[tile]

    new = list(tiles_between(old, size))
    for tile in new:
        whole = tile.width == TILE_WIDTH
        if len(content(tile)) != tile.width or (whole and not _is_above(tile, size, content)):
            raise ValueError("a tile is not of the log")
    if _edge(size, content).root() != root:
        raise ValueError("the tiles are not of the root")
    return {tile: made[tile] for tile in new}


def _is_above(tile: Tile, size: int, content: Callable[[Tile], Sequence[bytes]]) -> bool:
    """Returns whether the tile above has the hash of a whole tile."""
    level, index = tile.level + 1, tile.index // TILE_WIDTH
    width = min(TILE_WIDTH, (size >> level * _TILE_HEIGHT) - index * TILE_WIDTH)
    above = content(Tile(level, index, width))
    return above[tile.index % TILE_WIDTH] == perfect_tree_hash(content(tile))


def _edge(size: int, content: Callable[[Tile], Sequence[bytes]]) -> Tree:
    """Returns the tree that the unfinished tiles make, one a level at most."""
    peaks: list[bytes] = []
    for level in reversed(range(-(-size.bit_length() // _TILE_HEIGHT))):
        hashes = size >> level * _TILE_HEIGHT
        if width := hashes % TILE_WIDTH:
            tile = Tile(level, hashes // TILE_WIDTH, width)
            peaks += EMPTY.grown(content(tile)).peaks
    return Tree(size, tuple(peaks))
