"""The audit's log: records of all writers in one order, under Merkle roots that are MACed.

A leaf binds a record's content and MAC to its writer, number and global position. A root's
MAC binds the whole order so far to the audit key, so that only a server can make one. Leaves
of earlier releases (version 1) bind the MAC alone: who has no audit key cannot tell by them
whether a body is the one that was logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from uuid import UUID

from vault.audit.chain import KeyOf
from vault.audit.merkle import Tree, leaf_hash
from vault.audit.record import Record
from vault.audit.tlog.tiles import TILE_WIDTH
from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import MacKey
from vault.errors import DecryptionFailed

__all__ = ["LogEntry", "LogRoot", "digest_of", "grown_trees", "make_entries", "make_root"]

_LEAF_LABEL = b"tokenvault/v2/audit-leaf"
_MAC_LEAF_LABEL = b"tokenvault/v1/audit-leaf"
_ROOT_LABEL = b"tokenvault/v1/audit-root"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A row of ``audit_log``: where a record stands among all writers' records.

    Attributes:
        mac: the record's MAC as it was integrated.
        leaf: the hash of all the others.
        body_digest: of the record's body; None in an entry whose leaf is of version 1.
    """

    position: int
    writer: UUID
    number: int
    mac: bytes
    leaf: bytes
    body_digest: bytes | None = None

    def leaf_at(self, position: int) -> bytes:
        """Returns the leaf that this record would have at a position."""
        place = _int64(position), self.writer.bytes, _int64(self.number)
        # A label for each version: no leaf of one is ever a leaf of the other.
        if self.body_digest is None:
            return leaf_hash(length_prefixed(_MAC_LEAF_LABEL, *place, self.mac))
        return leaf_hash(length_prefixed(_LEAF_LABEL, *place, self.body_digest, self.mac))

    def is_of(self, body: str) -> bool:
        """Returns whether the entry lets a record have this body; version 1 lets it have any."""
        return self.body_digest is None or self.body_digest == digest_of(body)


@dataclass(frozen=True, slots=True)
class LogRoot:
    """A row of ``audit_roots``: the log's root when it had ``size`` entries.

    Attributes:
        peaks: the tree's peaks, one after the other.
    """

    size: int
    key_version: int
    peaks: bytes = field(repr=False)
    root: bytes
    mac: bytes

    def tree(self, key_of: KeyOf) -> Tree | None:
        """Returns the tree if a server made this root, else None. May raise KeysUnavailable."""
        message = _root_message(self.size, self.key_version, self.root)
        try:
            tree = Tree.from_bytes(self.size, self.peaks)
            genuine = key_of(self.key_version).verify(message, self.mac)
        except (ValueError, DecryptionFailed):
            return None
        return tree if genuine and tree.root() == self.root else None


def digest_of(body: str) -> bytes:
    """Returns what a leaf commits to of a record's body."""
    # "surrogatepass": what an untrusted file says must fail its digest, not its encoding.
    return sha256(body.encode("utf-8", "surrogatepass")).digest()


def make_entries(first: int, records: Iterable[Record]) -> list[LogEntry]:
    """Gives records their positions, from ``first`` on."""
    entries = []
    for position, record in enumerate(records, first):
        place = position, record.writer, record.number, record.mac
        bare = LogEntry(*place, b"", digest_of(record.body))
        entries.append(replace(bare, leaf=bare.leaf_at(position)))
    return entries


def grown_trees(tree: Tree, leaves: Sequence[bytes]) -> list[Tree]:
    """Returns the trees that get a root, as leaves are added: the last, and one each 256.

    Those lack a tile's last leaf, so that any subtree that ends with a tile is the peaks of such
    a root and that leaf: proofs of a long log read no more (``vault.audit.tree.hashes``).
    """
    old, size = tree.size, tree.size + len(leaves)
    before_end = TILE_WIDTH - 1
    first = old + 1 + (before_end - old - 1) % TILE_WIDTH
    trees, done = [tree], old
    for end in sorted({*range(first, size + 1, TILE_WIDTH), size}):
        trees.append(trees[-1].grown(leaves[done - old : end - old]))
        done = end
    return trees[1:]


def make_root(key: MacKey, tree: Tree) -> LogRoot:
    """MACs the root of a tree."""
    root = tree.root()
    mac = key.mac(_root_message(tree.size, key.version, root))
    return LogRoot(tree.size, key.version, tree.to_bytes(), root, mac)


def _root_message(size: int, key_version: int, root: bytes) -> bytes:
    return length_prefixed(_ROOT_LABEL, _int64(size), _int64(key_version), root)


def _int64(number: int) -> bytes:
    # Signed: a tampered row may hold any bigint, and must fail its hash, not its encoding.
    return number.to_bytes(8, signed=True)
