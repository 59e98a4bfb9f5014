"""The heads of all writers and the log's root at one time, MACed, to be kept elsewhere.

Whoever owns the database can delete a writer's last records together with its head and
the log's end, or put the whole audit back to an older copy of itself; against a checkpoint
kept elsewhere it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from vault.audit.json_text import read_count, read_json
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
            content = _genuine_content(text, keys)
            heads = [_head(each) for each in _list(content["heads"])]
            log = _log(content["log"]) if content["v"] == _VERSION else None
            return cls(_time(content["time"]), heads, log)
        except (ValueError, KeyError, DecryptionFailed):
            # Every way to be wrong has one answer.
            raise ConfigError(
                "checkpoint: the file is not a checkpoint of this audit, or was changed"
            ) from None


def _genuine_content(text: str, keys: Callable[[int], MacKey]) -> Mapping[str, object]:
    """Returns what a server MACed. Raises ValueError, KeyError, DecryptionFailed."""
    document = dict(_object(read_json(text)))
    mac = _bytes(document.pop("mac"))
    key = keys(read_count(document["key_version"], least=1))
    message = length_prefixed(_LABEL, canonical_json(document).encode())
    if not key.verify(message, mac) or read_count(document["v"]) not in (_WITHOUT_LOG, _VERSION):
        raise ValueError("not made by a server, or by one of another release")
    return document


def _head(value: object) -> CheckpointHead:
    head = _object(value)
    number = read_count(head["number"], least=1)
    return CheckpointHead(UUID(_text(head["writer"])), number, _bytes(head["mac"]))


def _log(value: object) -> CheckpointLog | None:
    if value is None:
        return None
    log = _object(value)
    return CheckpointLog(read_count(log["size"], least=1), _bytes(log["root"]))


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - what was read, not how it was called
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise ValueError("not a list")  # noqa: TRY004
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004
    return value


def _bytes(value: object) -> bytes:
    return bytes.fromhex(_text(value))
