"""A checkpoint as an outsider reads it: believed for its signature under a public key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vault.audit.tlog.note import Note, NoteKey
from vault.audit.tlog.tree_head import TreeHead

__all__ = ["SignedTree", "read_signed_tree", "read_vkeys"]

_TIME = "time "


@dataclass(frozen=True, slots=True)
class SignedTree:
    """The log at one size, under a signature that was verified.

    Attributes:
        time: when it was made, as the checkpoint says; empty where it does not.
    """

    origin: str
    size: int
    root: bytes
    time: str = ""


def read_signed_tree(text: str, keys: Sequence[NoteKey]) -> SignedTree:
    """Reads a checkpoint that one of the keys has signed as the log it is of.

    Raises ValueError, with what is wrong for people; it quotes the origin at most.
    """
    try:
        note = Note.parse(text)
        head = TreeHead.from_text(note.text)
    except ValueError:
        raise ValueError("it is no checkpoint, or was changed") from None
    # A key's name is its log's origin: another log's signature is none of this one.
    own = [key for key in keys if key.name == head.origin]
    if not own:
        raise ValueError(f"it is of another log, {head.origin!r}: the public key is of another")
    try:
        note.verified(own)
    except ValueError:
        raise ValueError("its signature is not of the public key") from None
    time = next((line for line in head.extensions if line.startswith(_TIME)), "")
    return SignedTree(head.origin, head.size, head.root, time.removeprefix(_TIME))


def read_vkeys(text: str) -> list[NoteKey]:
    """Reads public keys as ``tokenvault keys public`` prints them, a line each.

    Raises ValueError where there is none, or something else.
    """
    keys = [NoteKey.from_vkey(line.strip()) for line in text.splitlines() if line.strip()]
    if not keys:
        raise ValueError("no public key")
    return keys
