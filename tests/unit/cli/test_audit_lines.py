"""Audit records as lines: readable, and harmless to a terminal."""

from __future__ import annotations

import json

from vault.cli.audit.lines import is_audit_read, json_line, plain_line
from vault.v1.audit_service_pb2 import AuditRecord

CALL = {
    "kind": "call",
    "time": "2026-11-23T09:30:00.123456+00:00",
    "outcome": "denied",
    "principal": "https://idp.example.org#\x1b[2Jeve",
    "rpc": "Detokenize",
    "field": "card_number",
    "view": "full",
    "counts": {"ok": 2, "TOKEN_NOT_FOUND": 1},
    "reason": "DENIED",
}


def record(body: str) -> AuditRecord:
    return AuditRecord(position=7, writer="w", number=3, body=body)


def test_a_call_on_one_line_without_control_characters() -> None:
    assert plain_line(record(json.dumps(CALL))) == (
        "      7  2026-11-23 09:30:00.123  denied   https://idp.example.org#?[2Jeve  Detokenize"
        "  card_number  view=full  TOKEN_NOT_FOUND=1 ok=2  DENIED"
    )


def test_a_person_stands_beside_the_caller() -> None:
    person = {"issuer": "https://idp.example.org", "claim": "email", "value": "eve@x\x1b"}
    said = plain_line(record(json.dumps({**CALL, "principal": "a#b", "person": person})))
    assert "denied   a#b  person=eve@x?  Detokenize" in said


def test_what_a_call_was_for_is_shown_and_why_one_was_turned_away_is_no_purpose() -> None:
    said = plain_line(record(json.dumps({**CALL, "purpose": "fraud", "ticket": "F-1\x1b"})))
    assert "view=full  purpose=fraud  ticket=F-1?  TOKEN_NOT_FOUND=1" in said
    refused = {**CALL, "rpc": "*", "purpose": "the token has expired"}
    assert "purpose" not in plain_line(record(json.dumps(refused)))


def test_a_reveal_is_named_by_its_grant() -> None:
    said = plain_line(record(json.dumps({**CALL, "grant": "8c1f3a52-4a0e"})))
    assert "view=full  grant=8c1f3a52-4a0e  TOKEN_NOT_FOUND=1" in said
    said = plain_line(record(json.dumps({**CALL, "grant": "8c1f3a52-4a0e", "break_glass": True})))
    assert "grant=8c1f3a52-4a0e  break-glass  TOKEN_NOT_FOUND=1" in said


def test_touches_of_honey_tokens_and_freezes_stand_out() -> None:
    said = plain_line(record(json.dumps({**CALL, "touched": "one 2, two 1"})))
    assert "view=full  HONEY TOKENS TOUCHED=3  TOKEN_NOT_FOUND=1" in said
    nothing = {**CALL, "touched": "00000000-0000-0000-0000-000000000000 0"}
    assert "HONEY" not in plain_line(record(json.dumps(nothing)))
    freeze = {"kind": "principal", "name": "a\x1b", "frozen": True, "changed": CALL["time"]}
    assert "froze=a?" in plain_line(record(json.dumps({**CALL, "freeze": freeze})))
    lifted = {**CALL, "freeze": {**freeze, "frozen": False}}
    assert "freed=a?" in plain_line(record(json.dumps(lifted)))


def test_an_opening_names_its_writer() -> None:
    body = {"kind": "opened", "time": CALL["time"], "server": "node-1:42"}
    assert plain_line(record(json.dumps(body))).endswith("opened   writer w of node-1:42")


def test_a_record_that_is_gone_is_never_left_out() -> None:
    assert "MISSING OR EDITED: record 3 of writer w" in plain_line(record(""))
    assert json.loads(json_line(record("")))["body"] is None


def test_json_keeps_everything() -> None:
    line = json_line(record(json.dumps(CALL)))
    assert json.loads(line) == {"position": 7, "writer": "w", "number": 3, "body": CALL}
    assert "\x1b" not in line


def test_only_looks_at_the_audit_are_looks() -> None:
    assert is_audit_read(record('{"rpc":"TailAudit"}'))
    assert not is_audit_read(record(json.dumps(CALL)))
    assert not is_audit_read(record(""))
    assert not is_audit_read(record("[]"))


def test_a_change_of_the_policy_says_what_and_where() -> None:
    body = {
        "kind": "policy",
        "time": CALL["time"],
        "previous_policy_digest": "a" * 64,
        "policy_digest": "b" * 64,
        "servers": ["node-1:42", "node-2:1\x1b"],
    }
    said = plain_line(record(json.dumps(body)))
    assert said.endswith(f"policy   {'b' * 64} replaces {'a' * 64}; on node-1:42, node-2:1?")
    first = json.dumps({**body, "previous_policy_digest": "", "servers": None})
    assert f"{'b' * 64} is the first" in plain_line(record(first))


def test_a_pruned_record_is_not_missing_and_its_pruning_says_by_whom() -> None:
    pruned = AuditRecord(position=7, writer="w", number=3, pruned=True)
    assert plain_line(pruned) == "      7  PRUNED: record 3 of writer w"
    assert json.loads(json_line(pruned))["pruned"] is True
    assert "pruned" not in json.loads(json_line(record("")))
    body = {
        "kind": "pruned",
        "time": CALL["time"],
        "before": "2025-10-01T00:00:00+00:00",
        "position": 9,
        "records": 5,
        "operator": "eve\x1b@h as owner",
    }
    assert plain_line(record(json.dumps(body))).endswith(
        "pruned   5 records of calls up to position 9, from before 2025-10-01, by eve?@h as owner"
    )
