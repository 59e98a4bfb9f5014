"""The heads of all writers and the log's root at one time, MACed, to be kept elsewhere.

Whoever owns the database can delete a writer's last records together with its head and
the log's end, or put the whole audit back to an older copy of itself; against a checkpoint
kept elsewhere it shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from vault.audit.record import canonical_json
from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import MacKey
from vault.errors import ConfigError, DecryptionFailed

__all__ = ["Checkpoint", "CheckpointHead", "CheckpointLog"]

_LABEL = b"tokenvault/v1/audit-checkpoint"
_VERSION = 2
_WITHOUT_LOG = 1  # made before there was a log


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
    """

    time: datetime
    heads: Sequence[CheckpointHead]
    log: CheckpointLog | None = None

    def to_json(self, key: MacKey) -> str:
        """Writes the checkpoint as one line of JSON under the audit key."""
        content = {
            "v": _VERSION,
            "key_version": key.version,
            "time": self.time.astimezone(UTC).isoformat(timespec="microseconds"),
            "heads": [
                {"writer": str(head.writer), "number": head.number, "mac": head.mac.hex()}
                for head in self.heads
            ],
            "log": self.log and {"size": self.log.size, "root": self.log.root.hex()},
        }
        mac = key.mac(length_prefixed(_LABEL, canonical_json(content).encode()))
        return canonical_json({**content, "mac": mac.hex()}) + "\n"

    @classmethod
    def from_json(cls, text: str, keys: Callable[[int], MacKey]) -> Checkpoint:
        """Reads a checkpoint and checks its MAC.

        Raises:
            ConfigError: the file is not a checkpoint, or not one of this audit.
            KeysUnavailable: the audit key is not there.
        """
        try:
            content = json.loads(text)
            mac = bytes.fromhex(content.pop("mac"))
            key = keys(int(content["key_version"]))
            message = length_prefixed(_LABEL, canonical_json(content).encode())
            if content["v"] not in (_WITHOUT_LOG, _VERSION) or not key.verify(message, mac):
                raise ValueError  # noqa: TRY301 - one answer for every way to be wrong
            heads = [
                CheckpointHead(UUID(head["writer"]), head["number"], bytes.fromhex(head["mac"]))
                for head in content["heads"]
            ]
            log = content["log"] if content["v"] == _VERSION else None
            return cls(
                datetime.fromisoformat(content["time"]),
                heads,
                log and CheckpointLog(log["size"], bytes.fromhex(log["root"])),
            )
        except (ValueError, KeyError, TypeError, AttributeError, DecryptionFailed):
            raise ConfigError(
                "checkpoint: the file is not a checkpoint of this audit, or was changed"
            ) from None
