"""The log's tree as the database has it: for what is published, and checked before that."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, text

from vault.audit.checkpoint import CheckpointLog
from vault.audit.tlog.proofs import HashOf
from vault.audit.tree.hashes import SubtreeHashes
from vault.audit.tree.proving import prove_consistency
from vault.audit.tree.reading import read_tree
from vault.postgres.failures import translate_for_audit, translated

__all__ = ["StoredTree"]

_BOUNDS = text(
    "SELECT set_config('statement_timeout', '10s', true), set_config('enable_seqscan', 'off', true)"
)
_LEAVES = text(
    "SELECT leaf FROM audit_log WHERE position > :first AND position <= :last ORDER BY position"
)


class StoredTree:
    """Reads the tree. Raises AuditUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hashes = SubtreeHashes()

    @translated(translate_for_audit)
    def growth(self, log: CheckpointLog, old: int) -> tuple[Sequence[bytes], bytes]:
        """Returns a proof that the log continues its first ``old`` entries, and their root.

        Raises InvalidRequest where it has fewer, AuditUnavailable (INTERNAL) where it has others.
        """
        with self._engine.connect() as connection:
            connection.execute(_BOUNDS)
            proof = prove_consistency(connection, self._hashes, log, old)
            return proof, read_tree(connection, old).root()

    @translated(translate_for_audit)
    def subtrees(self, level: int, first: int, count: int) -> Sequence[bytes]:
        """Returns the hashes of so many perfect trees of 2^level leaves, from an index on."""
        with self._engine.connect() as connection:
            connection.execute(_BOUNDS)
            if level == 0:
                return _leaves(connection, first, count)

            def row(hash_of: HashOf) -> Sequence[bytes]:
                return [hash_of(level, index) for index in range(first, first + count)]

            return self._hashes.collect(connection, row)


def _leaves(connection: Connection, first: int, count: int) -> Sequence[bytes]:
    rows = connection.scalars(_LEAVES, {"first": first, "last": first + count})
    return [bytes(leaf) for leaf in rows]
