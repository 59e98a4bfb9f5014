"""Tiles of a log that grows: whole, of the root, and nothing but what is new."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vault.audit.merkle import EMPTY, leaf_hash
from vault.audit.tlog.tiles import Tile, tiles_between
from vault.audit.tree.tiling import make_tiles

SIZE = 66_100  # two levels of whole tiles, and the beginning of a third
LEAVES = [leaf_hash(number.to_bytes(4)) for number in range(SIZE)]


def trees_of(level: int, first: int, count: int) -> list[bytes]:
    width = 1 << level
    starts = range(first * width, (first + count) * width, width)
    return [EMPTY.grown(LEAVES[at : at + width]).root() for at in starts]


def root(size: int) -> bytes:
    return EMPTY.grown(LEAVES[:size]).root()


@pytest.mark.parametrize(
    ("old", "size"),
    [
        (0, 1),
        (0, 256),
        (0, 257),
        (3, 5),
        (255, 256),
        (256, 600),
        (600, 65_536),
        (65_530, 65_536),
        (65_535, 65_537),
        (65_536, SIZE),
        (SIZE - 1, SIZE),
    ],
)
def test_tiles_are_what_is_new_of_the_tree(old: int, size: int) -> None:
    made = make_tiles(old, size, root(size), trees_of)
    assert set(made) == set(tiles_between(old, size))
    for tile, hashes in made.items():
        assert list(hashes) == trees_of(tile.level * 8, tile.index * 256, tile.width)


@pytest.mark.parametrize("wrong", [Tile(0, 0), Tile(0, 2), Tile(1, 0, 2), Tile(0, 3, 88)])
@pytest.mark.parametrize("at", [0, -1])
def test_a_wrong_hash_is_in_no_tile(wrong: Tile, at: int) -> None:
    def lying(level: int, first: int, count: int) -> Sequence[bytes]:
        hashes = trees_of(level, first, count)
        if (level, first) == (wrong.level * 8, wrong.index * 256):
            hashes[at] = bytes(32)
        return hashes

    with pytest.raises(ValueError, match="not of the"):
        make_tiles(0, 856, root(856), lying)


def test_another_root_or_too_few_hashes_make_no_tiles() -> None:
    with pytest.raises(ValueError, match="not of the root"):
        make_tiles(0, 856, root(855), trees_of)
    with pytest.raises(ValueError, match="not of the"):
        make_tiles(0, 856, root(856), lambda *each: trees_of(*each)[1:])
