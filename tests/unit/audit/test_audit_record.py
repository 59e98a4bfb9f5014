from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from tests.json_checkpoints import json_checkpoint
from vault.audit.checkpoint import Checkpoint, CheckpointHead, CheckpointLog
from vault.audit.checkpoint_reading import read_checkpoint
from vault.audit.record import (
    Opening,
    RecordId,
    canonical_json,
    event_body,
    make_head,
    make_record,
    opening_body,
    read_opening,
    stated_id,
)
from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import MacKey
from vault.errors import ConfigError, DecryptionFailed
from vault.model import Action, AuditEvent, ChargedBudget, FreezeChange, FreezeTarget, Person

KEY = MacKey(7, bytes(range(32)))
WRITER = UUID("00112233-4455-6677-8899-aabbccddeeff")
NOW = datetime(2026, 11, 23, 10, 30, tzinfo=timezone(timedelta(hours=1)))
EVENT = AuditEvent(
    rpc="Detokenize",
    outcome="allowed",
    principal="spiffe://example.org/support",
    peer="ipv4:127.0.0.1:1",
    credential="0a1b",
    request_id="r-1",
    policy_digest="ab" * 32,
    roles=("support",),
    field="card_number",
    view="last4",
    ticket="FRAUD-12",
    budget=ChargedBudget(Action.DETOKENIZE, "full"),
    charged=3,
    subject="spiffe://example.org/other",
    freeze=FreezeChange(FreezeTarget("principal", "spiffe://example.org/x"), True, NOW),
    break_glass=True,
    counts={"ok": 2, "TOKEN_NOT_FOUND": 1},
    key_versions=(1, 2),
    token_digest=b"\x01\x02",
    honey_set="set",
    touched="set 2",
    person=Person("https://idp.example.org", "email", "ann@example.org"),
    auth_time=datetime(2026, 11, 23, 9, 0, 5, tzinfo=timezone(timedelta(hours=1))),
)


def keys(version: int) -> MacKey:
    if version != KEY.version:
        raise DecryptionFailed
    return KEY


def prefixed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def test_an_events_body_is_canonical_and_complete() -> None:
    body = event_body(EVENT, server="s", writer=WRITER, number=5, now=NOW)
    document = json.loads(body)
    assert body == canonical_json(document)
    assert document["time"] == "2026-11-23T09:30:00.000000+00:00"
    assert document["counts"] == {"TOKEN_NOT_FOUND": 1, "ok": 2}
    assert document["token_digest"] == "0102"
    # A detail has no key of its own: it is written as the purpose, which refused calls lack.
    assert set(AuditEvent.__dataclass_fields__) - {"detail"} <= document.keys()
    refused = event_body(
        replace(EVENT, detail="no role"), server="s", writer=WRITER, number=5, now=NOW
    )
    assert json.loads(refused)["purpose"] == "no role"
    assert stated_id(body) == RecordId(WRITER, 5)


def test_a_persons_record_says_who_and_since_when() -> None:
    document = json.loads(event_body(EVENT, server="s", writer=WRITER, number=5, now=NOW))
    person = {"claim": "email", "issuer": "https://idp.example.org", "value": "ann@example.org"}
    assert document["person"] == person
    assert document["auth_time"] == "2026-11-23T08:00:05+00:00"


def test_a_workloads_record_is_what_it_was_before_there_were_people() -> None:
    none: dict[str, object] = {"freeze": None, "subject": "", "honey_set": "", "touched": ""}
    none |= {"break_glass": False}
    none |= {"person": None, "auth_time": None, "ticket": "", "budget": None, "charged": 0}
    event = replace(EVENT, **none)  # type: ignore[arg-type]
    assert event_body(event, server="s", writer=WRITER, number=5, now=NOW) == (
        '{"counts":{"TOKEN_NOT_FOUND":1,"ok":2},"credential":"0a1b","field":"card_number",'
        '"grant":"","key_versions":[1,2],"kind":"call","number":5,"outcome":"allowed",'
        '"peer":"ipv4:127.0.0.1:1","policy_digest":"' + "ab" * 32 + '",'
        '"principal":"spiffe://example.org/support","purpose":"","reason":"","request_id":"r-1",'
        '"roles":["support"],"rpc":"Detokenize","server":"s","tenant":"default",'
        '"time":"2026-11-23T09:30:00.000000+00:00","token_digest":"0102","v":1,"view":"last4",'
        '"writer":"00112233-4455-6677-8899-aabbccddeeff"}'
    )


def test_hostile_text_stays_within_its_string() -> None:
    event = AuditEvent("R", "denied", 'a","outcome":"allowed\x00\u2028', "p", "c", "r", "d")
    body = event_body(event, server="s", writer=WRITER, number=5, now=NOW)
    assert body.isascii()
    assert "\x00" not in body
    assert json.loads(body)["outcome"] == "denied"


def test_a_records_mac_is_the_documented_one() -> None:
    record = make_record(KEY, WRITER, 5, b"previous", "{}")
    message = prefixed(
        b"tokenvault/v1/audit-record",
        WRITER.bytes,
        (5).to_bytes(8, "big"),
        (7).to_bytes(8, "big"),
        b"previous",
        b"{}",
    )
    info = prefixed(b"tokenvault/v1/audit", (7).to_bytes(4, "big")) + b"\x01"
    audit_key = hmac.digest(bytes(range(32)), info, "sha256")
    assert record.mac == hmac.new(audit_key, message, hashlib.sha256).digest()


@pytest.mark.parametrize(("writer", "number"), [(WRITER, 6), (UUID(int=1), 5), (WRITER, 5 + 2**32)])
def test_a_record_is_genuine_in_its_own_place_only(writer: UUID, number: int) -> None:
    record = make_record(KEY, WRITER, 5, b"", "{}")
    assert record.verifies(KEY, WRITER, 5)
    assert not record.verifies(KEY, writer, number)
    assert not record.verifies(MacKey(7, b"x" * 32), WRITER, 5)


def test_a_head_is_no_record() -> None:
    record = make_record(KEY, WRITER, 5, b"", "{}")
    head = make_head(KEY, record)
    assert head.verifies(KEY)
    assert head.head_mac != record.mac


@pytest.mark.parametrize("opening", [Opening(1, None), Opening(3, (UUID(int=2), 9, b"mac"))])
def test_an_opening_reads_back(opening: Opening) -> None:
    assert read_opening(opening_body(opening, server="s", writer=WRITER, now=NOW)) == opening


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", "[" * 100_000, '{"writer":"x","number":1}', '{"writer":1,"number":"1"}'],
)
def test_unreadable_bodies_state_no_place(body: str) -> None:
    assert stated_id(body) is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '{"kind":"call"}',
        '{"kind":"opened","ordinal":1}',
        '{"kind":"opened","previous":1}',
    ],
)
def test_other_bodies_are_no_openings(body: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_opening(body)


def test_a_checkpoint_reads_back() -> None:
    checkpoint = Checkpoint(NOW.astimezone(UTC), [CheckpointHead(WRITER, 5, b"mac")])
    assert read_checkpoint(json_checkpoint(checkpoint, KEY), keys) == checkpoint
    assert read_checkpoint(f"\n {json_checkpoint(checkpoint, KEY)}", keys) == checkpoint
    with_log = replace(checkpoint, log=CheckpointLog(7, b"r" * 32))
    assert read_checkpoint(json_checkpoint(with_log, KEY), keys) == with_log


def test_a_checkpoint_of_before_the_log_still_reads() -> None:
    content = {
        "v": 1,
        "key_version": 7,
        "time": NOW.astimezone(UTC).isoformat(timespec="microseconds"),
        "heads": [{"writer": str(WRITER), "number": 5, "mac": b"mac".hex()}],
    }
    message = length_prefixed(b"tokenvault/v1/audit-checkpoint", canonical_json(content).encode())
    text = canonical_json({**content, "mac": KEY.mac(message).hex()})
    read = read_checkpoint(text, keys)
    assert (list(read.heads), read.log) == ([CheckpointHead(WRITER, 5, b"mac")], None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"number":5', '"number":4'),
        ('"key_version":7', '"key_version":8'),
        ('"v":2', '"v":1'),
        ('"v":2', '"v":3'),
        ('"mac":', '"max":'),
        ("{", "["),
    ],
)
def test_a_changed_checkpoint_is_refused(old: str, new: str) -> None:
    text = json_checkpoint(Checkpoint(NOW, [CheckpointHead(WRITER, 5, b"mac")]), KEY)
    assert old in text
    with pytest.raises(ConfigError, match="checkpoint"):
        read_checkpoint(text.replace(old, new), keys)
