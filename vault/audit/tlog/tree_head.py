"""The text of a checkpoint (C2SP tlog-checkpoint 1.0.0): a log's origin, size and root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vault.audit.merkle import HASH_BYTES
from vault.audit.tlog import base64_text

__all__ = ["TreeHead", "read_decimal"]

_BIGGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A log at one size.

    Attributes:
        extensions: further lines, which monitors of other logs' makers cannot judge.
    """

    origin: str
    size: int
    root: bytes
    extensions: Sequence[str] = ()

    def to_text(self) -> str:
        """Returns the text that is signed."""
        lines = (self.origin, str(self.size), base64_text.encode(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def from_text(cls, text: str) -> TreeHead:
        """Reads the text of a note. Raises ValueError."""
        *lines, rest = text.split("\n")
        if rest or len(lines) < 3 or not all(lines):
            raise ValueError("a checkpoint has three lines or more, none of them empty")
        origin, size, root, *extensions = lines
        head = cls(origin, read_decimal(size), base64_text.decode(root), tuple(extensions))
        if len(head.root) != HASH_BYTES:
            raise ValueError("a root is a SHA-256 hash")
        return head


def read_decimal(text: str) -> int:
    """Reads a number from 0 on, without leading zeros. Raises ValueError."""
    # ``int`` alone takes signs, spaces, underscores and other scripts' digits.
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_BIGGEST)):
        raise ValueError("not a decimal number")
    number = int(text)
    if str(number) != text or number > _BIGGEST:
        raise ValueError("not a decimal number of a log")
    return number
