"""Reading a checkpoint that was kept elsewhere: only what a server made is one.

Releases before this one wrote a line of JSON under the audit key's MAC: version 2, and
version 1 without a log. They are read for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from vault.audit.chain import KeyOf
from vault.audit.checkpoint import Checkpoint, CheckpointHead, CheckpointLog
from vault.audit.json_text import read_count, read_json
from vault.audit.merkle import EMPTY
from vault.audit.record import canonical_json
from vault.audit.tlog.note import Note, NoteKey
from vault.audit.tlog.tree_head import TreeHead, read_decimal
from vault.crypto.encoding import length_prefixed
from vault.errors import ConfigError, DecryptionFailed

__all__ = ["read_checkpoint"]

_JSON_LABEL = b"tokenvault/v1/audit-checkpoint"
_JSON_VERSION = 2
_JSON_WITHOUT_LOG = 1


def read_checkpoint(text: str, key_of: KeyOf) -> Checkpoint:
    """Reads a checkpoint and checks its signature, or its MAC.

    Raises:
        ConfigError: the text is not a checkpoint, or not one of this audit.
        KeysUnavailable: the audit key is not there.
    """
    try:
        read = _from_json if text.lstrip().startswith("{") else _from_note
        return read(text, key_of)
    except (ValueError, KeyError, DecryptionFailed):
        # Every way to be wrong has one answer.
        raise ConfigError(
            "checkpoint: the file is not a checkpoint of this audit, or was changed"
        ) from None


def _from_note(text: str, key_of: KeyOf) -> Checkpoint:
    note = Note.parse(text)
    tree = TreeHead.from_text(note.text)
    if len(tree.extensions) < 2:
        raise ValueError("a checkpoint of another log")
    version, time, *heads = tree.extensions
    key = key_of(read_count(read_decimal(_after("key", version)), least=1))
    note.verified([NoteKey(tree.origin, key.signing.public)])
    log = CheckpointLog(tree.size, tree.root) if tree.size else None
    if log is None and tree.root != EMPTY.root():
        raise ValueError("an empty log has one root")
    return Checkpoint(
        _time(_after("time", time)), [_noted_head(line) for line in heads], log, tree.origin
    )


def _after(name: str, line: str) -> str:
    found, _, rest = line.partition(" ")
    if found != name:
        raise ValueError("a line of another release")
    return rest


def _noted_head(line: str) -> CheckpointHead:
    writer, number, mac = _after("head", line).split(" ")
    count = read_count(read_decimal(number), least=1)
    return CheckpointHead(UUID(writer), count, bytes.fromhex(mac))


def _from_json(text: str, key_of: KeyOf) -> Checkpoint:
    content = _genuine_content(text, key_of)
    heads = [_head(each) for each in _list(content["heads"])]
    log = _log(content["log"]) if content["v"] == _JSON_VERSION else None
    return Checkpoint(_time(content["time"]), heads, log)


def _genuine_content(text: str, key_of: KeyOf) -> Mapping[str, object]:
    """Returns what a server MACed. Raises ValueError, KeyError, DecryptionFailed."""
    document = dict(_object(read_json(text)))
    mac = _bytes(document.pop("mac"))
    key = key_of(read_count(document["key_version"], least=1))
    message = length_prefixed(_JSON_LABEL, canonical_json(document).encode())
    known = (_JSON_WITHOUT_LOG, _JSON_VERSION)
    if not key.verify(message, mac) or read_count(document["v"]) not in known:
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
