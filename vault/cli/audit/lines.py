"""Audit records as lines: for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from vault.cli.audit.bodies import read_body
from vault.cli.printable import one_line, without_controls
from vault.v1.audit_service_pb2 import AuditFilter, AuditFinding, AuditRecord, TailAuditResponse

__all__ = [
    "finding_line",
    "honey_touches",
    "is_audit_read",
    "json_line",
    "long_line",
    "nothing_line",
    "plain_line",
]

_AUDIT_READS = {"TailAudit"}
_MAX_DIGITS = 20


def plain_line(record: AuditRecord) -> str:
    """Writes a record for people: when and how it ended, who called what, counts, reason."""
    body = read_body(record)
    if record.pruned:
        return f"{record.position:>7}  PRUNED: record {record.number} of writer {record.writer}"
    if body is None:
        return (
            f"{record.position:>7}  MISSING OR EDITED: record {record.number} of writer"
            f" {record.writer or 'unknown'}; run `tokenvault audit verify`"
        )
    time = _text(body, "time")[:23].replace("T", " ")
    if body.get("kind") == "policy":
        return f"{record.position:>7}  {time}  policy   {_change(body)}"
    if body.get("kind") == "pruned":
        return f"{record.position:>7}  {time}  pruned   {_pruning(body)}"
    if body.get("kind") != "call":
        server = _text(body, "server")
        return f"{record.position:>7}  {time}  opened   writer {record.writer} of {server}"
    words = [
        f"{record.position:>7}  {time}  {_text(body, 'outcome'):<7}",
        _text(body, "principal") or "unknown caller",
        _person(body),
        _text(body, "rpc"),
        _text(body, "field"),
        _named(body, "view"),
        # Of calls that were turned away the record has the message there: which is no purpose.
        _text(body, "rpc") != "*" and _named(body, "purpose"),
        _named(body, "ticket"),
        _named(body, "grant"),
        body.get("break_glass") is True and "break-glass",
        _freeze(body),
        _touched(body),
        _counts(body),
        _text(body, "reason"),
    ]
    return "  ".join(word for word in words if word)


def _change(body: Mapping[str, object]) -> str:
    before, after = (_text(body, name) for name in ("previous_policy_digest", "policy_digest"))
    came = f"{after} replaces {before}" if before else f"{after} is the first"
    servers = body.get("servers")
    names = [str(name) for name in servers] if isinstance(servers, list) else []
    return f"{came}; on {_text({'names': ', '.join(names)}, 'names')}"


def _pruning(body: Mapping[str, object]) -> str:
    before = _text(body, "before")[:10]
    place = f"up to position {_text(body, 'position')}, from before {before}"
    return f"{_text(body, 'records')} records of calls {place}, by {_text(body, 'operator')}"


def honey_touches(body: Mapping[str, object]) -> int:
    """Returns how many honey tokens a record's call touched."""
    # "SET COUNT, SET COUNT"; of nothing the count is 0.
    touched = body.get("touched")
    pairs = touched.split(", ") if isinstance(touched, str) else []
    counts = [each.rpartition(" ")[2] for each in pairs]
    return sum(int(each) for each in counts if each.isdecimal() and len(each) < _MAX_DIGITS)


def long_line(record: AuditRecord) -> str:
    """Writes a record for people, with what joins it to logs and findings."""
    request = _text(read_body(record) or {}, "request_id")
    joined = f"writer {record.writer or 'unknown'}, record {record.number}"
    return f"{plain_line(record)}  ({joined}{request and f', request {request}'})"


def json_line(record: AuditRecord) -> str:
    """Writes a record as one line of JSON; the body is null where it is gone or was edited.

    One that was pruned says so; others have no such name.
    """
    return json.dumps(
        {
            "position": record.position,
            "writer": record.writer,
            "number": record.number,
            "body": read_body(record),
            **({"pruned": True} if record.pruned else {}),
        },
        separators=(",", ":"),
    )


def finding_line(finding: AuditFinding) -> str:
    """Writes what is wrong with the audit for people."""
    place = f"writer {finding.writer}, record {finding.number}: " if finding.writer else ""
    return one_line(f"{finding.kind}: {place}{finding.message}")


def nothing_line(first: int, page: TailAuditResponse, wanted: AuditFilter | None) -> str:
    """Returns the line for no record from a position on; ``page`` is the last one asked for."""
    looked_at = page.last - first + 1 if wanted is not None else 0
    if looked_at > 0:
        return f"no record of the {looked_at:,} looked at matches"
    return f"no record has position {max(1, first):,} or above yet"


def is_audit_read(record: AuditRecord) -> bool:
    """Returns whether a record is of a call that only read the audit."""
    body = read_body(record)
    return body is not None and body.get("rpc") in _AUDIT_READS


def _text(body: Mapping[str, object], name: str) -> str:
    return without_controls(str(body.get(name, "")))


def _named(body: Mapping[str, object], name: str) -> str:
    text = _text(body, name)
    return text and f"{name}={text}"


def _person(body: Mapping[str, object]) -> str:
    person = body.get("person")
    return f"person={_text(person, 'value')}" if isinstance(person, dict) else ""


def _freeze(body: Mapping[str, object]) -> str:
    freeze = body.get("freeze")
    if not isinstance(freeze, dict):
        return ""
    return f"{'froze' if freeze.get('frozen') else 'freed'}={_text(freeze, 'name')}"


def _touched(body: Mapping[str, object]) -> str:
    touches = honey_touches(body)
    return f"HONEY TOKENS TOUCHED={touches}" if touches else ""


def _counts(body: Mapping[str, object]) -> str:
    counts = body.get("counts")
    if not isinstance(counts, dict):
        return ""
    return " ".join(f"{outcome}={count}" for outcome, count in sorted(counts.items()))
