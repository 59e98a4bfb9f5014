"""What a record of the audit says, as the service has sent it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from vault.v1.audit_service_pb2 import AuditRecord

__all__ = ["read_body", "text_of"]


def read_body(record: AuditRecord) -> Mapping[str, object] | None:
    """Returns a record's body, None where it is missing or no object of JSON."""
    try:
        body = json.loads(record.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def text_of(body: Mapping[str, object], name: str) -> str:
    """Returns an entry as text, "" where there is none. Not fit for a terminal as it is."""
    return str(body.get(name, ""))
