"""Proofs of the log: that a record is in it, and that it continues an earlier state of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from vault.audit.checkpoint import CheckpointLog
from vault.audit.tlog.proofs import (
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from vault.audit.tree.hashes import SubtreeHashes
from vault.audit.tree.reading import read_tree
from vault.errors import AuditUnavailable, InvalidRequest, Reason

__all__ = ["prove_consistency", "prove_inclusion"]

Proof = Sequence[bytes]


def prove_inclusion(
    connection: Connection, hashes: SubtreeHashes, log: CheckpointLog, position: int, leaf: bytes
) -> Proof:
    """Returns the audit path from a leaf to the log's root.

    Raises InvalidRequest where there is no such position; AuditUnavailable (INTERNAL) where no
    path leads from the leaf to the root: the log was tampered with.
    """
    if not 0 < position <= log.size:
        raise InvalidRequest(f"the log has {log.size} positions so far")
    make = partial(inclusion_proof, position - 1, log.size)
    return _proved(
        lambda: hashes.collect(connection, make),
        lambda proof: verify_inclusion(leaf, position - 1, log.size, log.root, proof),
        hashes,
    )


def prove_consistency(
    connection: Connection, hashes: SubtreeHashes, log: CheckpointLog, old: int
) -> Proof:
    """Returns what shows that the log continues its first ``old`` entries.

    Raises InvalidRequest where it has fewer; AuditUnavailable (INTERNAL) as ``prove_inclusion``.
    """
    if not 0 < old <= log.size:
        raise InvalidRequest(f"the log has {log.size} positions so far")
    root = read_tree(connection, old).root()
    make = partial(consistency_proof, old, log.size)
    return _proved(
        lambda: hashes.collect(connection, make),
        lambda proof: verify_consistency(old, root, log.size, log.root, proof),
        hashes,
    )


def _proved(
    make: Callable[[], Proof], holds: Callable[[Proof], bool], hashes: SubtreeHashes
) -> Proof:
    # What does not hold may be of a database that was put back since: what is there now decides.
    for _ in range(2):
        proof = make()
        if holds(proof):
            return proof
        hashes.forget()
    raise AuditUnavailable(
        "the log is not what its root is of: run `tokenvault audit verify`",
        reason=Reason.INTERNAL,
    )
