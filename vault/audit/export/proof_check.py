"""Checks proofs with the public key alone."""

from __future__ import annotations

from collections.abc import Sequence

from vault.audit.export.lines import ExportLine
from vault.audit.export.signed_tree import SignedTree, read_signed_tree
from vault.audit.record import RecordId, stated_id
from vault.audit.tlog.note import NoteKey
from vault.audit.tlog.proof_files import InclusionProof
from vault.audit.tlog.proofs import verify_consistency, verify_inclusion
from vault.audit.tlog.witnessing import read_add_checkpoint

__all__ = ["check_consistency", "check_inclusion"]


def check_inclusion(text: str, keys: Sequence[NoteKey]) -> tuple[SignedTree, ExportLine]:
    """Returns the signed log, and the record that the proof shows to be in it.

    Raises ValueError, with what is wrong for people.
    """
    try:
        proof = InclusionProof.from_text(text)
        line = ExportLine.from_line(proof.extra.decode("ascii"))
    except ValueError:
        raise ValueError("it is no proof of a record, or was changed") from None
    tree = read_signed_tree(str(proof.checkpoint), keys)
    entry = line.entry
    if entry is None or line.tile is not None or line.position != proof.index + 1:
        raise ValueError("its record is not the one that it proves")
    # What proves is the leaf that follows from the content, whatever the line says.
    leaf = entry.leaf_at(line.position)
    if leaf != entry.leaf or not verify_inclusion(
        leaf, proof.index, tree.size, tree.root, proof.hashes
    ):
        raise ValueError(f"the log has another record at position {line.position}")
    if line.body and not entry.is_of(line.body):
        raise ValueError(f"the record at position {line.position} was edited")
    if line.body and stated_id(line.body) != RecordId(entry.writer, entry.number):
        raise ValueError(f"the record at position {line.position} was edited")
    return tree, line


def check_consistency(text: str, keys: Sequence[NoteKey], earlier: SignedTree) -> SignedTree:
    """Returns the signed log that a proof shows to continue an earlier state of itself.

    Raises ValueError, with what is wrong for people.
    """
    try:
        old, hashes, note = read_add_checkpoint(text)
    except ValueError:
        raise ValueError("it is no proof of a log's growth, or was changed") from None
    tree = read_signed_tree(str(note), keys)
    if tree.origin != earlier.origin:
        raise ValueError(f"it is of another log than the checkpoint given, {earlier.origin!r}")
    if old != earlier.size:
        raise ValueError(f"it begins at {old} entries; the checkpoint given has {earlier.size}")
    if not verify_consistency(old, earlier.root, tree.size, tree.root, hashes):
        raise ValueError("the log does not continue that of the checkpoint given")
    return tree
