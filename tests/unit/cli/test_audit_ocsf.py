"""Every record as an event of OCSF 1.8.0, held against its schema as the ocsf-json-schema
package has it: attributes that the schema lacks are refused there too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded

from vault.audit.pruning.declaration import Pruning, pruning_body
from vault.audit.record import Opening, event_body, opening_body, policy_body
from vault.cli.audit.ocsf.classes import Activity, activity_of
from vault.cli.audit.ocsf.events import ocsf_line
from vault.cli.audit.options import _RPCS
from vault.model import Action, AuditEvent, ChargedBudget, Person, PolicyChange
from vault.v1.audit_service_pb2 import AuditRecord

WRITER = UUID(int=7)
NOW = datetime(2026, 11, 28, 1, 2, 3, 4000, tzinfo=UTC)
PLACE = {"server": "host:1", "writer": WRITER, "number": 3, "now": NOW}
REVEAL = AuditEvent(
    "Detokenize",
    "allowed",
    "https://idp.example.org#ann",
    "ipv4:192.0.2.7:50123",
    "0a1b",
    "f" * 32,
    "d" * 64,
    roles=("analyst",),
    field="us_ssn",
    view="last4",
    purpose="fraud_case",
    ticket="F12",
    grant="8c1f3a52-4a0e-4d0c-9f5e-0d6d0a6f2f11",
    charged=2,
    budget=ChargedBudget(Action.DETOKENIZE, "last4"),
    counts={"ok": 2, "TOKEN_NOT_FOUND": 1},
    key_versions=(1,),
    token_digest=b"digest",
    person=Person("https://idp.example.org", "email", "ann@example.org"),
    auth_time=NOW,
)


@cache
def schemas() -> OcsfJsonSchemaEmbedded:
    text = files("ocsf_json_schema").joinpath("ocsf", "1.8.0.json").read_text(encoding="utf-8")
    return OcsfJsonSchemaEmbedded(json.loads(text))


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schemas().get_class_schema(name, ["security_control"]))


CLASSES = {
    6003: "api_activity",
    6002: "application_lifecycle",
    3004: "entity_management",
    2004: "detection_finding",
}


def event_of(body: str) -> Mapping[str, object]:
    """Returns a record's event, once the schema has it."""
    line = ocsf_line(AuditRecord(position=41, writer=str(WRITER), number=3, body=body), NOW)
    assert "\n" not in line
    event: dict[str, object] = json.loads(line)
    uid = event["class_uid"]
    assert isinstance(uid, int)
    problems = [
        f"{each.json_path}: {each.message}" for each in validator(CLASSES[uid]).iter_errors(event)
    ]
    assert problems == []
    return event


def call(**changes: object) -> Mapping[str, object]:
    values = {name: getattr(REVEAL, name) for name in REVEAL.__dataclass_fields__} | changes
    return event_of(event_body(AuditEvent(**values), **PLACE))  # type: ignore[arg-type]


def test_the_schema_refuses_what_it_does_not_have() -> None:
    event = {**call(), "colour": "red", "activity_id": 7}
    assert len(list(validator("api_activity").iter_errors(event))) == 2


def test_a_reveal() -> None:
    event = call()
    assert event == {
        "metadata": {
            "version": "1.8.0",
            "product": {"name": "Tokenvault", "vendor_name": "Tokenvault"},
            "profiles": ["security_control"],
            "log_name": "audit",
            "uid": f"{WRITER}/3",
            "sequence": 41,
            "original_time": "2026-11-28T01:02:03.004000+00:00",
            "tenant_uid": "default",
            "correlation_uid": REVEAL.grant,
        },
        "time": 1795827723004,
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": 6003,
        "class_name": "API Activity",
        "activity_id": 2,
        "activity_name": "Read",
        "type_uid": 600302,
        "type_name": "API Activity: Read",
        "severity_id": 1,
        "severity": "Informational",
        "message": "Detokenize on us_ssn: allowed",
        "status_id": 1,
        "status": "Success",
        "action_id": 1,
        "action": "Allowed",
        "disposition_id": 1,
        "disposition": "Allowed",
        "api": {"operation": "Detokenize", "request": {"uid": "f" * 32}},
        "actor": {
            "user": {
                "uid": "https://idp.example.org#ann",
                "type_id": 1,
                "type": "User",
                "name": "ann@example.org",
                "domain": "https://idp.example.org",
                "email_addr": "ann@example.org",
                "credential_uid": "0a1b",
                "groups": [{"name": "analyst", "type": "role"}],
            },
            "session": {"issuer": "https://idp.example.org", "created_time": 1795827723000},
        },
        "src_endpoint": {"ip": "192.0.2.7", "port": 50123},
        "resources": [{"uid": "us_ssn", "name": "us_ssn", "type": "field"}],
        "policy": {"uid": "d" * 64, "is_applied": True},
        "unmapped": {
            "v": 1,
            "kind": "call",
            "server": "host:1",
            "writer": str(WRITER),
            "number": 3,
            "view": "last4",
            "purpose": "fraud_case",
            "ticket": "F12",
            "grant": REVEAL.grant,
            "charged": 2,
            "budget": {"action": "detokenize", "view": "last4"},
            "counts": {"ok": 2, "TOKEN_NOT_FOUND": 1},
            "key_versions": [1],
            "token_digest": b"digest".hex(),
        },
    }


NO_TOUCH = {"touched": f"{UUID(int=0)} 0"}
TOUCH = {"touched": f"{UUID(int=1)} 2"}


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        (TOUCH, "High"),
        (TOUCH | {"outcome": "denied", "reason": "DENIED"}, "High"),
        (TOUCH | {"break_glass": True}, "High"),
        ({"break_glass": True}, "Medium"),
    ],
)
def test_touches_of_honey_tokens_and_emergencies_are_alerts(
    changes: Mapping[str, object], severity: str
) -> None:
    event = call(**changes)
    assert (event["severity"], event["is_alert"]) == (severity, True)
    nothing = call(**NO_TOUCH)
    assert (nothing["severity"], "is_alert" in nothing) == ("Informational", False)


def test_a_denied_call_and_a_failed_one() -> None:
    denied = call(outcome="denied", reason="PURPOSE_REQUIRED")
    assert (denied["status_id"], denied["action"], denied["status_code"], denied["severity"]) == (
        2,
        "Denied",
        "PURPOSE_REQUIRED",
        "Low",
    )
    assert denied["message"] == "Detokenize on us_ssn: denied (PURPOSE_REQUIRED)"
    failed = call(outcome="failed", reason="KEYS_UNAVAILABLE")
    assert (failed["status_id"], failed["action_id"], failed["disposition"]) == (2, 0, "Error")


def test_calls_that_were_turned_away_together() -> None:
    event = call(
        rpc="*", outcome="denied", reason="UNAUTHENTICATED", principal="", peer="listener:mtls",
        credential="", request_id="", roles=(), field="", view="", purpose="", ticket="",
        grant="", charged=0, budget=None, person=None, auth_time=None,
        detail="no certificate", counts={"calls": 12},
    )  # fmt: skip
    assert (event["count"], event["status_detail"]) == (12, "no certificate")
    assert event["src_endpoint"] == {"name": "listener:mtls"}
    assert event["actor"] == {"user": {"uid": "unknown", "type_id": 0, "type": "Unknown"}}
    assert "purpose" not in json.dumps(event["unmapped"])


def test_what_a_server_does_by_itself() -> None:
    event = call(
        rpc="Expire", principal="tokenvault:reaper", peer="", credential="", roles=(),
        person=None, auth_time=None,
    )  # fmt: skip
    assert event["actor"] == {"user": {"uid": "tokenvault:reaper", "type_id": 3, "type": "System"}}
    assert (event["activity_name"], event["src_endpoint"]) == ("Delete", {"name": "tokenvault"})


@pytest.mark.parametrize("before", ["", "a" * 64])
def test_a_policy_that_came_into_force(before: str) -> None:
    change = PolicyChange(before, "b" * 64, ("host:1",))
    event = event_of(policy_body(change, server="s", writer=WRITER, number=3, now=NOW))
    assert event["type_name"] == f"Entity Management: {'Update' if before else 'Create'}"
    assert event["entity_result"] == {
        "uid": "b" * 64,
        "type_id": 5,
        "type": "Policy",
        "policy": {"uid": "b" * 64},
    }


def test_a_chain_that_was_opened() -> None:
    event = event_of(opening_body(Opening(1, None), server="host:1", writer=WRITER, now=NOW))
    assert (event["class_uid"], event["activity_name"]) == (6002, "Open audit writer")


def test_a_pruning_and_what_it_dropped_are_no_findings() -> None:
    pruning = Pruning(9, NOW, 5, 4, bytes(32), "ab", "eve@host as owner")
    event = event_of(pruning_body(pruning, server="host:1", writer=WRITER, number=2, now=NOW))
    assert (event["class_uid"], event["activity_name"]) == (6002, "Prune audit")
    assert event["message"] == "eve@host as owner pruned records up to position 9"
    gone = AuditRecord(position=9, writer=str(WRITER), number=3, pruned=True)
    pruned = json.loads(ocsf_line(gone, NOW))
    assert list(validator("application_lifecycle").iter_errors(pruned)) == []
    assert (pruned["class_uid"], pruned["activity_name"]) == (6002, "Audit record pruned")


def test_a_record_that_is_gone_is_a_finding() -> None:
    event = event_of("")
    assert (event["class_uid"], event["severity"], event["is_alert"]) == (2004, "Critical", True)
    assert event["time"] == 1795827723004
    unknown = json.loads(ocsf_line(AuditRecord(position=9), NOW))
    assert list(validator("detection_finding").iter_errors(unknown)) == []
    assert unknown["metadata"]["uid"] == "/9"


def test_every_rpc_has_an_activity() -> None:
    assert {rpc for rpc in _RPCS if activity_of(rpc) is Activity.OTHER} == set()
    assert activity_of("*") is activity_of("unknown") is Activity.OTHER


TEXTS = st.text(max_size=20)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("time", "rpc", "outcome", "reason", "tenant", "principal", "person", "auth_time"),
        *("peer", "credential", "request_id", "roles", "field", "policy_digest", "grant"),
        *("counts", "purpose", "previous_policy_digest", "server", "touched"),
    ]
)


@given(
    st.sampled_from(["call", "policy", "opened", "pruned", "later"]),
    st.dictionaries(NAMES | TEXTS, ANYTHING, max_size=8),
)
def test_whatever_a_newer_server_writes_is_an_event(kind: str, body: Mapping[str, object]) -> None:
    event_of(json.dumps({**body, "kind": kind}))
