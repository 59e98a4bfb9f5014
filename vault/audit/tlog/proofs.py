"""Inclusion and consistency proofs: RFC 6962 section 2.1, checked as RFC 9162 section 2.1 says.

A proof is a row of hashes, each of a range of leaves. A range begins where a perfect tree as
large as its first one begins, so its hash is made of perfect trees' hashes alone, and those
are read from wherever they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vault.audit.merkle import HASH_BYTES, Tree, node_hash

__all__ = [
    "HashOf",
    "consistency_proof",
    "inclusion_proof",
    "perfect_tree_hash",
    "verify_consistency",
    "verify_inclusion",
]

HashOf = Callable[[int, int], bytes]
"""Returns the hash of the perfect tree of 2^level leaves that is the index-th of its level."""


def inclusion_proof(index: int, size: int, hash_of: HashOf) -> list[bytes]:
    """Returns the audit path of the leaf at ``index``, from 0, in a tree of ``size`` leaves.

    Raises ValueError where there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("there is no such leaf")
    ranges = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return [_range_hash(*each, hash_of) for each in reversed(ranges)]


def consistency_proof(old: int, new: int, hash_of: HashOf) -> list[bytes]:
    """Returns what shows that the tree of ``new`` leaves begins with that of ``old``.

    Raises ValueError where it is smaller, or ``old`` is below 0.
    """
    if not 0 <= old <= new:
        raise ValueError("a tree does not shrink")
    ranges = []
    low, high = 0, new if old else 0
    while old < high:
        middle = low + _split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    if low:  # else the verifier has this hash: it is the old root
        ranges.append((low, high))
    return [_range_hash(*each, hash_of) for each in reversed(ranges)]


def perfect_tree_hash(hashes: Sequence[bytes]) -> bytes:
    """Returns the hash of a perfect tree over a row of its hashes. Raises ValueError."""
    if not hashes or len(hashes) & (len(hashes) - 1):
        raise ValueError("a perfect tree has a power of two of hashes")
    while len(hashes) > 1:
        hashes = [node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def verify_inclusion(
    leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Returns whether a leaf's hash is at ``index`` below a root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    at, last, found = index, size - 1, leaf
    for each in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(each, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, each)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Returns whether a tree continues another (RFC 9162 section 2.1.4.2).

    An empty one proves nothing: every tree continues it.
    """
    if old == new:
        return old > 0 and not proof and old_root == new_root
    if not 0 < old < new or not _are_hashes(old_root, new_root, *proof):
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first, *rest = path
    old_found = new_found = first
    for each in rest:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_found, new_found = node_hash(each, old_found), node_hash(each, new_found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new_found = node_hash(new_found, each)
        at, last = at >> 1, last >> 1
    return last == 0 and old_found == old_root and new_found == new_root


def _split(leaves: int) -> int:
    """Returns the largest power of two below a number above 1."""
    return 1 << (leaves - 1).bit_length() - 1


def _are_hashes(*hashes: bytes) -> bool:
    return all(len(each) == HASH_BYTES for each in hashes)


def _range_hash(low: int, high: int, hash_of: HashOf) -> bytes:
    peaks = tuple(hash_of(level, index) for level, index in _perfect_trees(low, high))
    return Tree(high - low, peaks).root()


def _perfect_trees(low: int, high: int) -> Iterator[tuple[int, int]]:
    while low < high:
        level = (high - low).bit_length() - 1
        yield level, low >> level
        low += 1 << level
