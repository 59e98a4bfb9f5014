"""The log's Merkle tree at any size, out of the database.

A root's row has the peaks of its tree, and no more than a transaction's leaves lie between two
roots: so any size is one root and some leaves away. Nothing read here is believed: what is made
of it is checked against a signed root by whoever gets it.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from vault.audit.merkle import EMPTY, HASH_BYTES, Tree
from vault.errors import AuditUnavailable, InvalidRequest, Reason

__all__ = ["read_tree"]

_MAX_LEAVES = 10_000  # of one transaction there are fewer
_ROOT = text("""
SELECT l.last, r.size, r.peaks
FROM (SELECT coalesce(max(position), 0) AS last FROM audit_log) l LEFT JOIN LATERAL (
    SELECT size, peaks FROM audit_roots WHERE size <= :size ORDER BY size DESC LIMIT 1
) r ON true
""")
_LEAVES = text("""
SELECT position, leaf FROM audit_log WHERE position > :size AND position <= :end
ORDER BY position LIMIT :most
""")


def read_tree(connection: Connection, size: int) -> Tree:
    """Returns the tree of the log's first ``size`` entries.

    Raises InvalidRequest where there are not as many; AuditUnavailable (INTERNAL) where entries
    or roots are missing or are none.
    """
    last, *root = connection.execute(_ROOT, {"size": size}).one()
    if size > last:
        raise InvalidRequest(f"the log has {last} positions so far")
    try:
        tree = Tree.from_bytes(*root) if root[0] is not None else EMPTY
    except ValueError:
        raise _tampered() from None
    wanted = {"size": tree.size, "end": size, "most": _MAX_LEAVES}
    rows = connection.execute(_LEAVES, wanted).all()
    if [position for position, _ in rows] != list(range(tree.size + 1, size + 1)):
        raise _tampered()
    if any(len(leaf) != HASH_BYTES for _, leaf in rows):
        raise _tampered()
    return tree.grown(leaf for _, leaf in rows)


def _tampered() -> AuditUnavailable:
    return AuditUnavailable(
        "entries or roots of the log are missing: run `tokenvault audit verify`",
        reason=Reason.INTERNAL,
    )
