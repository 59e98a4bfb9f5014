"""What is sent to a witness and what it answers (C2SP tlog-witness, ``add-checkpoint``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vault.audit.tlog import base64_text
from vault.audit.tlog.note import Note, NoteKey, NoteSignature, SignatureType, read_signatures
from vault.audit.tlog.proof_files import read_hashes
from vault.audit.tlog.tree_head import read_decimal

__all__ = [
    "add_checkpoint_body",
    "read_add_checkpoint",
    "read_cosignatures",
    "read_witnessed_size",
]

_MAX_HASHES = 63
_OLD = "old "


def add_checkpoint_body(old: int, proof: Sequence[bytes], checkpoint: Note) -> str:
    """Returns the request: the size that the witness knows, what continues it, and to where.

    Raises ValueError for a proof that no tree has.
    """
    if len(proof) > _MAX_HASHES or (proof and not old):
        raise ValueError("not a proof for a witness")
    lines = (f"{_OLD}{old}", *map(base64_text.encode, proof), "", str(checkpoint))
    return "\n".join(lines)


def read_add_checkpoint(body: str) -> tuple[int, Sequence[bytes], Note]:
    """Reads a request: the old size, what continues it, and the checkpoint.

    Raises ValueError. Neither is believed yet.
    """
    head, blank, checkpoint = body.partition("\n\n")
    first, *hashes = head.split("\n")
    if not blank or not first.startswith(_OLD):
        raise ValueError("not a request to a witness")
    return read_decimal(first.removeprefix(_OLD)), read_hashes(hashes), Note.parse(checkpoint)


def read_cosignatures(
    answer: str, checkpoint: Note, keys: Iterable[NoteKey]
) -> list[NoteSignature]:
    """Returns the cosignatures of known witnesses (answer 200), for the checkpoint's end.

    Raises ValueError where there is none, and where one is wrong.
    """
    witnesses = [key for key in keys if key.type is SignatureType.COSIGNATURE]
    note = Note(checkpoint.text, read_signatures(answer))
    return [signature for _, signature in note.verified(witnesses)]


def read_witnessed_size(answer: str) -> int:
    """Returns the size that the witness knows (answer 409). Raises ValueError."""
    line, newline, rest = answer.partition("\n")
    if not newline or rest:
        raise ValueError("not a size")
    return read_decimal(line)
