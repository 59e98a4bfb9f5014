"""Proofs as files: C2SP tlog-proof for one entry; for a longer log what witnesses are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vault.audit.merkle import HASH_BYTES
from vault.audit.tlog import base64_text
from vault.audit.tlog.note import Note
from vault.audit.tlog.tree_head import read_decimal

__all__ = ["InclusionProof", "read_hashes"]

_FIRST_LINE = "c2sp.org/tlog-proof@v1"
_EXTRA, _INDEX = "extra ", "index "
_MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A proof that an entry is in a log, as a C2SP tlog-proof.

    Attributes:
        index: the entry's, from 0.
        hashes: the audit path, from the leaf's sibling on.
        extra: what the log is not asked about; not to be believed by itself.
    """

    index: int
    hashes: Sequence[bytes]
    checkpoint: Note
    extra: bytes = field(default=b"", repr=False)

    def to_text(self) -> str:
        """Returns the file's text."""
        extra = [f"{_EXTRA}{base64_text.encode(self.extra)}"] if self.extra else []
        hashes = map(base64_text.encode, self.hashes)
        lines = (_FIRST_LINE, *extra, f"{_INDEX}{self.index}", *hashes, "", str(self.checkpoint))
        return "\n".join(lines)

    @classmethod
    def from_text(cls, text: str) -> InclusionProof:
        """Reads a file's text, without believing it. Raises ValueError."""
        head, blank, checkpoint = text.partition("\n\n")
        first, *lines = head.split("\n")
        if first != _FIRST_LINE or not blank or not lines:
            raise ValueError("not a tlog-proof")
        extra = b""
        if lines[0].startswith(_EXTRA):
            extra = base64_text.decode(lines.pop(0).removeprefix(_EXTRA))
        if not lines or not lines[0].startswith(_INDEX):
            raise ValueError("a tlog-proof has an index")
        index = read_decimal(lines.pop(0).removeprefix(_INDEX))
        return cls(index, read_hashes(lines), Note.parse(checkpoint), extra)

    @staticmethod
    def is_one(text: str) -> bool:
        """Returns whether a text begins as a tlog-proof does."""
        return text.startswith(_FIRST_LINE)


def read_hashes(lines: Sequence[str]) -> list[bytes]:
    """Reads the lines of a proof. Raises ValueError."""
    hashes = [base64_text.decode(line) for line in lines]
    if len(hashes) > _MAX_HASHES or any(len(each) != HASH_BYTES for each in hashes):
        raise ValueError("not a proof's hashes")
    return hashes
