"""Merkle tree hashes of RFC 6962 section 2.1, grown leaf by leaf.

A tree of any size is a row of perfect trees, the largest first, one for each bit of the
size. Their tops (*peaks*) are all that the next root needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

__all__ = ["EMPTY", "HASH_BYTES", "Tree", "leaf_hash", "node_hash"]

HASH_BYTES = 32
_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(content: bytes) -> bytes:
    """Returns the hash of a leaf."""
    return sha256(_LEAF + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns the hash of a node over its two halves."""
    return sha256(_NODE + left + right).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree's size and its peaks, the largest first."""

    size: int
    peaks: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Raises ValueError where no tree of that size has such peaks."""
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError("a tree has one peak for each bit of its size")
        if any(len(peak) != HASH_BYTES for peak in self.peaks):
            raise ValueError("a peak is a hash")

    def grown(self, leaves: Iterable[bytes]) -> Tree:
        """Returns the tree with more leaves (their hashes) at its end."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            node, rest = leaf, size
            while rest & 1:  # each trailing one is a perfect tree as large as the node's
                node, rest = node_hash(peaks.pop(), node), rest >> 1
            peaks.append(node)
            size += 1
        return Tree(size, tuple(peaks))

    def root(self) -> bytes:
        """Returns the Merkle tree hash."""
        if not self.peaks:
            return sha256(b"").digest()
        *left, root = self.peaks
        for peak in reversed(left):
            root = node_hash(peak, root)
        return root

    def to_bytes(self) -> bytes:
        """Returns the peaks, one after the other."""
        return b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, size: int, peaks: bytes) -> Tree:
        """Reads what ``to_bytes`` wrote. Raises ValueError."""
        starts = range(0, len(peaks), HASH_BYTES)
        return cls(size, tuple(peaks[start : start + HASH_BYTES] for start in starts))


EMPTY = Tree(0, ())
