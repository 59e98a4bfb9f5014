"""The bytes that the audit's MACs cover.

A record's body is canonical JSON (sorted keys, no spaces, ASCII), stored as it was MACed,
so that an operator can read it with ``body::jsonb``. Its MAC is HMAC-SHA-256 over
length-prefixed parts: label, writer, number, key version, the previous record's MAC, body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from vault.audit.json_text import read_count, read_json
from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import MacKey
from vault.model import AuditEvent, FreezeChange, PolicyChange

__all__ = [
    "NO_MAC",
    "Head",
    "LastRecord",
    "NamedManifest",
    "Opening",
    "Record",
    "RecordId",
    "Writer",
    "canonical_json",
    "common_entries",
    "event_body",
    "make_head",
    "make_record",
    "opening_body",
    "policy_body",
    "read_opening",
    "stated_id",
]

NO_MAC = b""  # what the first record of a writer names as its predecessor
_RECORD_LABEL = b"tokenvault/v1/audit-record"
_HEAD_LABEL = b"tokenvault/v1/audit-head"
_BODY_VERSION = 1
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
_MAX_SERVERS = 100  # named in one record
# What the database says is under no MAC until it is in a record: only what it should hold.
_DIGEST = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)
_SERVER = re.compile(r"[A-Za-z0-9._:-]{1,160}", re.ASCII)
_ODD = "unreadable"


LastRecord: TypeAlias = tuple[UUID, int, bytes]
"""A writer, the number of its last record as somebody saw it, and that record's MAC."""


class NamedManifest(NamedTuple):
    """A generation of the key manifest and its MAC."""

    generation: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Writer:
    """A row of ``audit_writers``: one chain of records, opened by one server process."""

    ordinal: int
    writer: UUID
    server: str


@dataclass(frozen=True, slots=True)
class Record:
    """A row of ``audit_records``."""

    writer: UUID
    number: int
    key_version: int
    previous: bytes
    mac: bytes
    body: str

    def verifies(self, key: MacKey, writer: UUID, number: int) -> bool:
        """Returns whether the record is genuine as that writer's record of that number."""
        message = _record_message(writer, number, self.key_version, self.previous, self.body)
        return key.verify(message, self.mac)


@dataclass(frozen=True, slots=True)
class Head:
    """A row of ``audit_heads``: the last record of a writer, under a MAC of its own."""

    writer: UUID
    number: int
    mac: bytes
    key_version: int
    head_mac: bytes

    def verifies(self, key: MacKey) -> bool:
        """Returns whether the head is genuine."""
        return key.verify(
            _head_message(self.writer, self.number, self.key_version, self.mac), self.head_mac
        )


@dataclass(frozen=True, slots=True)
class RecordId:
    """What distinguishes a record: its writer, and its number in the writer's chain."""

    writer: UUID
    number: int


@dataclass(frozen=True, slots=True)
class Opening:
    """The contents of a writer's first record: its ordinal, and chains that its server knew.

    Attributes:
        previous: the writer before, its last number and that record's MAC; None for the first.
        lost: such a chain that the server had been writing and found changed, if any.
        previous_may_be_lost: an earlier release wrote it, with a lost chain as ``previous``.
        keys: the key manifest in force, None where an earlier release wrote it.
    """

    ordinal: int
    previous: LastRecord | None
    lost: LastRecord | None = None
    previous_may_be_lost: bool = False
    keys: NamedManifest | None = None


def make_record(key: MacKey, writer: UUID, number: int, previous: bytes, body: str) -> Record:
    """MACs a body as a writer's record of that number."""
    mac = key.mac(_record_message(writer, number, key.version, previous, body))
    return Record(writer, number, key.version, previous, mac, body)


def make_head(key: MacKey, record: Record) -> Head:
    """Makes the head of a writer whose last record is ``record``."""
    message = _head_message(record.writer, record.number, key.version, record.mac)
    return Head(record.writer, record.number, record.mac, key.version, key.mac(message))


def event_body(
    event: AuditEvent,
    *,
    server: str,
    writer: UUID,
    number: int,
    now: datetime,
    erasure: str = "",
) -> str:
    """Writes the body of a call's record; ``erasure`` is the digest of its list, if any."""
    return canonical_json(
        {
            **common_entries("call", server, writer, number, now),
            "rpc": event.rpc,
            "outcome": event.outcome,
            "reason": event.reason,
            "tenant": event.tenant,
            "principal": event.principal,
            "peer": event.peer,
            "credential": event.credential,
            "request_id": event.request_id,
            "roles": list(event.roles),
            "field": event.field,
            "view": event.view,
            # Records have no entry of its own for a detail; who is refused has no purpose.
            "purpose": event.purpose or event.detail,
            "grant": event.grant,
            "counts": dict(event.counts),
            "key_versions": list(event.key_versions),
            "policy_digest": event.policy_digest,
            "token_digest": event.token_digest.hex(),
            # Of calls without one nothing: as records were before there were tickets and budgets.
            **({"ticket": event.ticket} if event.ticket else {}),
            **({"budget": event.budget._asdict()} if event.budget else {}),
            **({"charged": event.charged} if event.charged else {}),
            **({"subject": event.subject} if event.subject else {}),
            **({"break_glass": True} if event.break_glass else {}),
            **({"erasure": erasure} if erasure else {}),
            **({"honey_set": event.honey_set} if event.honey_set else {}),
            **({"touched": event.touched} if event.touched else {}),
            **({"freeze": _freeze_entry(event.freeze)} if event.freeze else {}),
            **_person_entries(event),
        }
    )


def _person_entries(event: AuditEvent) -> Mapping[str, object]:
    # Of workloads nothing: their records are what they were before there were people.
    entries: dict[str, object] = {}
    if event.person is not None:
        entries["person"] = event.person._asdict()
    if event.auth_time is not None:
        entries["auth_time"] = event.auth_time.astimezone(UTC).isoformat(timespec="seconds")
    return entries


def _freeze_entry(change: FreezeChange) -> Mapping[str, object]:
    changed = change.changed.astimezone(UTC).isoformat(timespec="microseconds")
    return {**change.target._asdict(), "frozen": change.frozen, "changed": changed}


def policy_body(
    change: PolicyChange, *, server: str, writer: UUID, number: int, now: datetime
) -> str:
    """Writes the body of the record of a policy that comes into force."""
    named = change.servers[:_MAX_SERVERS]
    return canonical_json(
        {
            **common_entries("policy", server, writer, number, now),
            "tenant": change.tenant,
            "previous_policy_digest": _plain(_DIGEST, change.before),
            "policy_digest": _plain(_DIGEST, change.after),
            "servers": [_plain(_SERVER, name) for name in named],
            "server_count": len(change.servers),
        }
    )


def opening_body(opening: Opening, *, server: str, writer: UUID, now: datetime) -> str:
    """Writes the body of a writer's first record."""
    chains = {
        "previous": _last_record_entry(opening.previous),
        "lost": _last_record_entry(opening.lost),
    }
    common = common_entries("opened", server, writer, 1, now)
    keys = opening.keys and {"generation": opening.keys.generation, "mac": opening.keys.mac.hex()}
    return canonical_json({**common, "ordinal": opening.ordinal, **chains, "keys": keys})


def read_opening(body: str) -> Opening:
    """Reads the body of a writer's first record. Raises ValueError where it is not one."""
    document = _document(body)
    if document.get("kind") != "opened":
        raise ValueError("not the opening of a writer")
    previous, lost = _last_record(document.get("previous", ...)), _last_record(document.get("lost"))
    keys = _named_manifest(document.get("keys"))
    return Opening(
        read_count(document.get("ordinal")), previous, lost, "lost" not in document, keys
    )


def stated_id(body: str) -> RecordId | None:
    """Reads which record a body says that it is of, None where it says nothing readable."""
    try:
        document = _document(body)
        match document.get("writer"), document.get("number"):
            case str(writer), int(number):
                return RecordId(UUID(writer), number)
    except ValueError:
        pass
    return None


def canonical_json(document: Mapping[str, object]) -> str:
    """Writes JSON in one way only: sorted keys, no spaces, ASCII.

    Raises ValueError for what is nested too deeply, as only a caller's own document is.
    """
    try:
        return _CANONICAL.encode(document)
    except RecursionError:
        pass
    raise ValueError("nested too deeply")


def common_entries(
    kind: str, server: str, writer: UUID, number: int, now: datetime
) -> dict[str, object]:
    """Returns what every body has."""
    return {
        "v": _BODY_VERSION,
        "kind": kind,
        "server": server,
        "writer": str(writer),
        "number": number,
        "time": now.astimezone(UTC).isoformat(timespec="microseconds"),
    }


def _last_record_entry(last: LastRecord | None) -> object:
    return last and {"writer": str(last[0]), "number": last[1], "mac": last[2].hex()}


def _last_record(value: object) -> LastRecord | None:
    match value:
        case None:
            return None
        case {"writer": str(writer), "number": int(number), "mac": str(mac)}:
            return UUID(writer), number, bytes.fromhex(mac)
    raise ValueError("not a writer with its last record")


def _plain(form: re.Pattern[str], text: str) -> str:
    return text if form.fullmatch(text) else _ODD


def _named_manifest(value: object) -> NamedManifest | None:
    match value:
        case None:
            return None
        case {"generation": generation, "mac": str(mac)}:
            return NamedManifest(read_count(generation, least=1), bytes.fromhex(mac))
    raise ValueError("not a key manifest")


def _document(body: str) -> Mapping[str, object]:
    match read_json(body):
        case dict() as document:
            return document
    raise ValueError("not an audit record's body")


def _record_message(
    writer: UUID, number: int, key_version: int, previous: bytes, body: str
) -> bytes:
    # "surrogatepass": an edited body must fail its MAC, not its encoding.
    text = body.encode("utf-8", "surrogatepass")
    return length_prefixed(
        _RECORD_LABEL, writer.bytes, _int64(number), _int64(key_version), previous, text
    )


def _head_message(writer: UUID, number: int, key_version: int, mac: bytes) -> bytes:
    return length_prefixed(_HEAD_LABEL, writer.bytes, _int64(number), _int64(key_version), mac)


def _int64(number: int) -> bytes:
    # Signed: a tampered row may hold any bigint, and must fail its MAC, not its encoding.
    return number.to_bytes(8, signed=True)
