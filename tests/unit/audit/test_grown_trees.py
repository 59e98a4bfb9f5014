"""Which trees get a root: the last, and one before the end of each tile."""

from __future__ import annotations

import pytest

from vault.audit.log import grown_trees
from vault.audit.merkle import EMPTY, leaf_hash

LEAVES = [leaf_hash(number.to_bytes(2)) for number in range(1100)]


@pytest.mark.parametrize(
    ("old", "size", "sizes"),
    [
        (0, 1, [1]),
        (0, 254, [254]),
        (0, 255, [255]),
        (0, 256, [255, 256]),
        (254, 255, [255]),
        (255, 256, [256]),
        (255, 511, [511]),
        (256, 1024, [511, 767, 1023, 1024]),
        (100, 1100, [255, 511, 767, 1023, 1100]),
    ],
)
def test_a_tree_at_the_end_and_one_before_each_tiles_end(
    old: int, size: int, sizes: list[int]
) -> None:
    made = grown_trees(EMPTY.grown(LEAVES[:old]), LEAVES[old:size])
    assert [tree.size for tree in made] == sizes
    assert made == [EMPTY.grown(LEAVES[:end]) for end in sizes]
