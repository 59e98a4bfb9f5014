"""The heads of all writers and the log's root at one time, signed, to be kept elsewhere.

Whoever owns the database can delete a writer's last records together with its head and
the log's end, or put the whole audit back to an older copy of itself; against a checkpoint
kept elsewhere it shows. It is a C2SP tlog-checkpoint, so that others can keep and compare
them who have no key of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from vault.audit.merkle import EMPTY
from vault.audit.tlog.note import Note, sign_note
from vault.audit.tlog.tree_head import TreeHead
from vault.crypto.field_key import MacKey

__all__ = ["Checkpoint", "CheckpointHead", "CheckpointLog", "sign_log"]


@dataclass(frozen=True, slots=True)
class CheckpointHead:
    """A writer's last record at the time of a checkpoint."""

    writer: UUID
    number: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class CheckpointLog:
    """The log at the time of a checkpoint: how many entries, and their Merkle root."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The heads of all writers, ordered as they were opened, and the log.

    Attributes:
        log: None where nothing was integrated yet.
        origin: the log's; empty in one of a release that had none.
    """

    time: datetime
    heads: Sequence[CheckpointHead]
    log: CheckpointLog | None = None
    origin: str = ""

    def sign(self, key: MacKey) -> str:
        """Returns the checkpoint as a signed note. The heads are in its extension lines.

        Without them it would say nothing of records that have no position yet.
        """
        log = self.log or CheckpointLog(EMPTY.size, EMPTY.root())
        extensions = (
            f"key {key.version}",
            f"time {self.time.astimezone(UTC).isoformat(timespec='microseconds')}",
            *(f"head {head.writer} {head.number} {head.mac.hex()}" for head in self.heads),
        )
        return str(sign_log(log, self.origin, key, extensions))


def sign_log(log: CheckpointLog, origin: str, key: MacKey, extensions: Sequence[str] = ()) -> Note:
    """Returns the log as a signed note; without extension lines any monitor can judge it."""
    text = TreeHead(origin, log.size, log.root, extensions).to_text()
    return sign_note(text, origin, key.signing)
