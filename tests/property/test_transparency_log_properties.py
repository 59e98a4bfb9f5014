"""Proofs of any tree hold, and no other ones; paths and notes read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.audit.merkle import EMPTY, leaf_hash
from vault.audit.tlog.note import Note, NoteSignature
from vault.audit.tlog.proofs import (
    HashOf,
    consistency_proof,
    inclusion_proof,
    perfect_tree_hash,
    verify_consistency,
    verify_inclusion,
)
from vault.audit.tlog.tiles import Tile, tiles_between
from vault.audit.tlog.tree_head import TreeHead

LEAVES = [leaf_hash(number.to_bytes(2)) for number in range(600)]
SIZES = st.integers(0, len(LEAVES))
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter(
    lambda text: "+" not in text
)


def root(size: int) -> bytes:
    return EMPTY.grown(LEAVES[:size]).root()


def hash_of(level: int, index: int) -> bytes:
    return perfect_tree_hash(LEAVES[index << level : (index + 1) << level])


def only_from_tiles(size: int) -> HashOf:
    """Reads from the tiles of a tree alone, as whoever has no leaves does."""
    tiles = {(tile.level, tile.index): tile.width for tile in tiles_between(0, size)}

    def found(level: int, index: int) -> bytes:
        tile_level, above = divmod(level, 8)
        first, last = index << above, ((index + 1) << above) - 1
        assert first // 256 == last // 256
        assert last % 256 < tiles[tile_level, last // 256]
        return hash_of(level, index)

    return found


@given(size=st.integers(1, len(LEAVES)), data=st.data())
def test_a_leaf_is_proved_at_its_place_only(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, only_from_tiles(size))
    assert verify_inclusion(LEAVES[index], index, size, root(size), proof)
    other = data.draw(
        st.integers(0, size - 1).filter(lambda at: at != index) if size > 1 else SIZES
    )
    if other != index:
        assert not verify_inclusion(LEAVES[index], other, size, root(size), proof)
    assert not verify_inclusion(leaf_hash(b"other"), index, size, root(size), proof)
    for bad in ([*proof, bytes(32)], proof[1:], [bytes(32), *proof]):
        if bad != proof:
            assert not verify_inclusion(LEAVES[index], index, size, root(size), bad)


@given(sizes=st.tuples(SIZES, SIZES).map(sorted), data=st.data())
def test_a_tree_continues_its_own_beginning_only(sizes: list[int], data: st.DataObject) -> None:
    old, new = sizes
    proof = consistency_proof(old, new, only_from_tiles(new))
    assert verify_consistency(old, root(old), new, root(new), proof) is (old > 0)
    assert not verify_consistency(old, root(old), new, root(new), [*proof, bytes(32)])
    if old:
        forged = EMPTY.grown([*LEAVES[: old - 1], leaf_hash(b"other")]).root()
        assert not verify_consistency(old, forged, new, root(new), proof)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]
        assert not verify_consistency(old, root(old), new, root(new), changed)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3)])
def test_there_is_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(index, size, hash_of)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3)])
def test_a_tree_does_not_shrink(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="shrink"):
        consistency_proof(old, new, hash_of)


@given(level=st.integers(0, 63), index=st.integers(0, 2**60), width=st.integers(1, 256))
def test_a_path_reads_back(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert Tile.from_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/3/-1/001", "tile/3/123/456/078", "tile/64/001", "tile/03/001", "tile/0/01",
        "tile/0/x000/001", "tile/0/001.p/0", "tile/0/001.p/256", "tile/0/001.p/05",
        "tile/data/001", "tile/0/001/", "/tile/0/001", "tile/0/\u0661\u0661\u0661",
    ],
)  # fmt: skip
def test_another_spelling_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        Tile.from_path(path)


@given(old=st.integers(0, 10**6), more=st.integers(0, 10**6))
def test_new_tiles_and_old_ones_are_all_tiles(old: int, more: int) -> None:
    new = old + more
    before = {(t.level, t.index): t.width for t in tiles_between(0, old)}
    added = {(t.level, t.index): t.width for t in tiles_between(old, new)}
    assert before | added == {(t.level, t.index): t.width for t in tiles_between(0, new)}
    assert all(before.get(place, 0) < width for place, width in added.items())


@given(
    origin=TEXTS, size=st.integers(0, 2**63 - 1), extensions=st.lists(TEXTS, max_size=3),
    names=st.lists(TEXTS, min_size=1, max_size=3), content=st.binary(min_size=5, max_size=80),
)  # fmt: skip
def test_a_checkpoint_reads_back(
    origin: str, size: int, extensions: list[str], names: list[str], content: bytes
) -> None:
    head = TreeHead(origin, size, leaf_hash(content), tuple(extensions))
    signatures = [NoteSignature(name, content[:4], content[4:]) for name in names]
    note = Note.parse(str(Note(head.to_text(), signatures)))
    assert (TreeHead.from_text(note.text), note.signatures) == (head, signatures)


@given(text=st.text())
def test_no_text_is_more_than_refused(text: str) -> None:
    for read in (Note.parse, TreeHead.from_text, Tile.from_path, NoteSignature.from_line):
        try:
            read(text)
        except ValueError:
            continue
