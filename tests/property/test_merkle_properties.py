"""A tree grown in any steps is the tree of RFC 6962's recursive definition."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from vault.audit.merkle import EMPTY, leaf_hash


def definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, to the letter."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = definition(leaves[:split]), definition(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


@given(steps=st.lists(st.lists(st.binary(max_size=4), max_size=20), max_size=12))
def test_incremental_is_from_scratch(steps: list[list[bytes]]) -> None:
    tree, leaves = EMPTY, list[bytes]()
    for step in steps:
        tree = tree.grown(leaf_hash(leaf) for leaf in step)
        leaves += step
        assert tree.root() == definition(leaves)
    assert tree.size == len(leaves)


@given(leaves=st.lists(st.binary(max_size=4), min_size=2, max_size=40, unique=True), data=st.data())
def test_any_change_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    hashes = [leaf_hash(leaf) for leaf in leaves]
    at = data.draw(st.integers(0, len(leaves) - 2))
    swapped = [*hashes[:at], hashes[at + 1], hashes[at], *hashes[at + 2 :]]
    for other in (swapped, hashes[:-1], hashes[1:], [*hashes, hashes[-1]]):
        assert EMPTY.grown(other).root() != EMPTY.grown(hashes).root()
