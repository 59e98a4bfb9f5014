"""One OCSF event for each audit record.

What a record says and no attribute of the class is for, ``unmapped`` has, under the record's
own names: nothing is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address

from vault.cli.audit.bodies import read_body
from vault.cli.audit.lines import honey_touches
from vault.cli.audit.ocsf.classes import (
    SCHEMA_VERSION,
    Activity,
    EventClass,
    Severity,
    activity_of,
)
from vault.rpc.peers import host_and_port
from vault.v1.audit_service_pb2 import AuditRecord

__all__ = ["ocsf_line"]

_PRODUCT = {"name": "Tokenvault", "vendor_name": "Tokenvault"}
_PROFILE = "security_control"  # whose attributes say whether a call was let through
_UNKNOWN = "unknown"
_SERVER = "tokenvault:"  # what begins the names of servers' own work
_EMAIL = re.compile(r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9.-]+", re.ASCII)
_TURNED_AWAY = "*"
# outcome: status, action and disposition, each with its name, and severity
_OUTCOMES = {
    "allowed": ((1, "Success"), (1, "Allowed"), (1, "Allowed"), Severity.INFORMATIONAL),
    "denied": ((2, "Failure"), (2, "Denied"), (2, "Blocked"), Severity.LOW),
    "failed": ((2, "Failure"), (0, "Unknown"), (27, "Error"), Severity.LOW),
}
_UNKNOWN_OUTCOME = ((0, "Unknown"), (0, "Unknown"), (0, "Unknown"), Severity.LOW)
_CALL_MAPPED = {
    *("time", "rpc", "outcome", "reason", "tenant", "principal", "person", "auth_time", "peer"),
    *("credential", "request_id", "roles", "field", "policy_digest"),
}


def ocsf_line(record: AuditRecord, now: datetime | None = None) -> str:
    """Returns a record's event as one line of JSON.

    A record that is missing or was edited is a finding, made ``now``.
    """
    body = read_body(record)
    if record.pruned:
        event = _pruned(record, now or datetime.now(UTC))
    elif body is None:
        event = _finding(record, now or datetime.now(UTC))
    elif body.get("kind") == "call":
        event = _call(record, body)
    elif body.get("kind") == "policy":
        event = _policy(record, body)
    elif body.get("kind") == "pruned":
        event = _pruning(record, body)
    else:
        event = _opening(record, body)
    return json.dumps(event, separators=(",", ":"))


def _call(record: AuditRecord, body: Mapping[str, object]) -> Mapping[str, object]:
    rpc, reason, field = (_text(body, name) for name in ("rpc", "reason", "field"))
    status, action, disposition, usual = _OUTCOMES.get(_text(body, "outcome"), _UNKNOWN_OUTCOME)
    alarm = _alarm(body)
    turned_away = rpc == _TURNED_AWAY
    request = _text(body, "request_id")
    unmapped = {name: body[name] for name in body.keys() - _CALL_MAPPED}
    if turned_away:
        unmapped.pop("purpose", None)  # the message that they were answered with
    said = f"{'calls' if turned_away else rpc}{f' on {field}' if field else ''}"
    return {
        **_common(EventClass.API, activity_of(rpc), alarm or usual, record, body),
        "message": f"{said}: {_text(body, 'outcome')}{f' ({reason})' if reason else ''}",
        **({"is_alert": True} if alarm else {}),
        **_named("status", status),
        **({"status_code": reason} if reason else {}),
        **({"status_detail": _text(body, "purpose")} if turned_away else {}),
        **_named("action", action),
        **_named("disposition", disposition),
        **({"count": _calls(body)} if turned_away else {}),
        "api": {"operation": rpc, **({"request": {"uid": request}} if request else {})},
        "actor": _actor(body),
        "src_endpoint": _endpoint(_text(body, "peer")),
        **({"resources": [{"uid": field, "name": field, "type": "field"}]} if field else {}),
        **_policy_in_force(body),
        "unmapped": unmapped,
    }


def _alarm(body: Mapping[str, object]) -> Severity | None:
    """Returns how bad it is that a call was made at all, or None where that is nothing."""
    if honey_touches(body):
        return Severity.HIGH
    return Severity.MEDIUM if body.get("break_glass") is True else None


def _policy(record: AuditRecord, body: Mapping[str, object]) -> Mapping[str, object]:
    before, after = (_text(body, name) for name in ("previous_policy_digest", "policy_digest"))
    activity = Activity.UPDATE if before else Activity.CREATE
    mapped = {"time", "tenant", "previous_policy_digest", "policy_digest"}
    return {
        **_common(EventClass.ENTITY, activity, Severity.INFORMATIONAL, record, body),
        "message": "a policy came into force",
        **_named("status", (1, "Success")),
        "entity": _policy_entity(before or after),
        "entity_result": _policy_entity(after),
        "unmapped": {name: body[name] for name in body.keys() - mapped},
    }


def _opening(record: AuditRecord, body: Mapping[str, object]) -> Mapping[str, object]:
    return {
        **_common(EventClass.LIFECYCLE, Activity.OTHER, Severity.INFORMATIONAL, record, body),
        "activity_name": "Open audit writer",
        "message": f"{_text(body, 'server')} began a chain of audit records",
        "app": _PRODUCT,
        "unmapped": {name: body[name] for name in body.keys() - {"time"}},
    }


def _pruning(record: AuditRecord, body: Mapping[str, object]) -> Mapping[str, object]:
    said = f"{_text(body, 'operator')} pruned records up to position {body.get('position')}"
    return {
        **_common(EventClass.LIFECYCLE, Activity.OTHER, Severity.LOW, record, body),
        "activity_name": "Prune audit",
        "message": said,
        "app": _PRODUCT,
        "unmapped": {name: body[name] for name in body.keys() - {"time"}},
    }


def _pruned(record: AuditRecord, now: datetime) -> Mapping[str, object]:
    body = {"time": now.isoformat()}
    return {
        **_common(EventClass.LIFECYCLE, Activity.OTHER, Severity.INFORMATIONAL, record, body),
        "activity_name": "Audit record pruned",
        "message": f"position {record.position} of the audit was pruned: its time was over",
        "app": _PRODUCT,
    }


def _finding(record: AuditRecord, now: datetime) -> Mapping[str, object]:
    place = f"record {record.number} of writer {record.writer or _UNKNOWN}"
    said = f"position {record.position} of the audit, {place}, is missing or was edited"
    body = {"time": now.isoformat()}
    return {
        **_common(EventClass.FINDING, Activity.CREATE, Severity.CRITICAL, record, body),
        "message": f"{said}: run `tokenvault audit verify`",
        "is_alert": True,
        **_named("status", (1, "New")),
        "finding_info": {
            "uid": f"audit/{record.position}",
            "title": "Audit record missing or edited",
            "desc": said,
            "types": ["Log tampering"],
        },
    }


def _common(
    event_class: EventClass,
    activity: Activity,
    severity: Severity,
    record: AuditRecord,
    body: Mapping[str, object],
) -> dict[str, object]:
    """Returns what every event has."""
    category_uid, category, class_uid, name = event_class.value
    activity_uid, activity_name = activity.value
    time, grant = _text(body, "time"), _text(body, "grant")
    tenant = _text(body, "tenant")
    metadata = {
        "version": SCHEMA_VERSION,
        "product": _PRODUCT,
        "profiles": [_PROFILE],
        "log_name": "audit",
        "uid": f"{record.writer}/{record.number}" if record.writer else f"/{record.position}",
        "sequence": record.position,
        "original_time": time,
        **({"tenant_uid": tenant} if tenant else {}),
        **({"correlation_uid": grant} if grant else {}),
    }
    return {
        "metadata": metadata,
        "time": _milliseconds(time),
        "category_uid": category_uid,
        "category_name": category,
        "class_uid": class_uid,
        "class_name": name,
        "activity_id": activity_uid,
        "activity_name": activity_name,
        "type_uid": class_uid * 100 + activity_uid,
        "type_name": f"{name}: {activity_name}",
        "severity_id": int(severity),
        "severity": severity.name.capitalize(),
    }


def _actor(body: Mapping[str, object]) -> Mapping[str, object]:
    principal, credential = _text(body, "principal"), _text(body, "credential")
    roles = body.get("roles")
    names = roles if isinstance(roles, list) else []
    groups = [{"name": str(role), "type": "role"} for role in names]
    user: dict[str, object] = {"uid": principal or _UNKNOWN, **_kind_of(principal)}
    session: dict[str, object] = {}
    person = body.get("person")
    if isinstance(person, dict):
        name, issuer = _text(person, "value"), _text(person, "issuer")
        user |= {"name": name, "domain": issuer, "type_id": 1, "type": "User"}
        session["issuer"] = issuer
        if _EMAIL.fullmatch(name):
            user["email_addr"] = name
    if since := _text(body, "auth_time"):
        session["created_time"] = _milliseconds(since)
    if credential:
        user["credential_uid"] = credential
    if groups:
        user["groups"] = groups
    return {"user": user, **({"session": session} if session else {})}


def _kind_of(principal: str) -> Mapping[str, object]:
    if not principal:
        return {"type_id": 0, "type": "Unknown"}
    if principal.startswith(_SERVER):
        return {"type_id": 3, "type": "System"}
    # Of others nobody knows more than that their credential is good.
    return {"type_id": 4, "type": "Service"}


def _endpoint(peer: str) -> Mapping[str, object]:
    host, port = host_and_port(peer)
    try:
        return {"ip": str(ip_address(host)), "port": port}
    except ValueError:
        # A listener's name, or a server itself.
        return {"name": peer or "tokenvault"}


def _policy_in_force(body: Mapping[str, object]) -> Mapping[str, object]:
    digest = _text(body, "policy_digest")
    return {"policy": {"uid": digest, "is_applied": True}} if digest else {}


def _policy_entity(digest: str) -> Mapping[str, object]:
    return {"uid": digest, "type_id": 5, "type": "Policy", "policy": {"uid": digest}}


def _named(what: str, value: tuple[int, str]) -> Mapping[str, object]:
    number, name = value
    return {f"{what}_id": number, what: name}


def _calls(body: Mapping[str, object]) -> int:
    counts = body.get("counts")
    found = counts.get("calls") if isinstance(counts, dict) else None
    return found if isinstance(found, int) and found > 0 else 1


def _milliseconds(time: str) -> int:
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    except ValueError:
        return 0


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
