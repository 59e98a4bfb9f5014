"""Writing a notice into the outbox, in the transaction of the step that owes it.

::

    notices.add(transaction.outbox, tenant, Notice(NoticeType.REVEAL_GRANTED, subject, time, data))

A notice names people, fields and counts. It has no value, no token and no text that a caller
wrote freely: whoever receives it may see none of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID, uuid4

from vault.crypto.field_key import MacKey
from vault.crypto.row_mac import Cell
from vault.model import NoticeType
from vault.service.ports import KeySource, Outbox, OutboxRow

__all__ = ["TABLE", "Content", "Notice", "Notices", "Subscription", "is_genuine"]

TABLE = "webhook_outbox"

Content: TypeAlias = "str | int | Sequence[Content] | Mapping[str, Content] | None"
"""What a notice may hold."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody is told.

    Attributes:
        subject: what it is about, such as a reveal's id.
        time: when that happened (aware), by the store's clock.
    """

    type: NoticeType
    subject: str
    time: datetime
    data: Mapping[str, Content]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A receiver by its name in the settings, and what it is told."""

    endpoint: str
    types: frozenset[NoticeType] = dataclass_field(default_factory=lambda: frozenset(NoticeType))


class Notices:
    """Writes notices for those who are to receive them; threads share it.

    Args:
        source: what the notices come from: a CloudEvent's ``source``.
        subscriptions: without one, nothing is written.
    """

    def __init__(
        self, keys: KeySource, source: str = "", subscriptions: Sequence[Subscription] = ()
    ) -> None:
        self._keys = keys
        self._source = source
        self._subscriptions = tuple(subscriptions)

    def add(self, outbox: Outbox, tenant: str, notice: Notice) -> None:
        """Adds a notice. Raises StoreUnavailable, KeysUnavailable."""
        endpoints = [each.endpoint for each in self._subscriptions if notice.type in each.types]
        if not endpoints:
            return
        made, key = uuid4(), self._keys.audit_key(tenant)
        event = _event(made, self._source, notice)
        outbox.add([_row(key, tenant, made, endpoint, event) for endpoint in endpoints])


def is_genuine(key: MacKey, row: OutboxRow) -> bool:
    """Returns whether a row is as a server of ours wrote it."""
    return key.rows.verify(TABLE, _cells(row.tenant, row.id, row.endpoint, row.event), row.mac)


def _row(key: MacKey, tenant: str, notice: UUID, endpoint: str, event: str) -> OutboxRow:
    mac = key.rows.mac(TABLE, _cells(tenant, notice, endpoint, event))
    return OutboxRow(tenant, notice, endpoint, event, key.version, mac)


def _cells(tenant: str, notice: UUID, endpoint: str, event: str) -> list[Cell]:
    return [tenant, notice, endpoint, event]


def _event(made: UUID, source: str, notice: Notice) -> str:
    """Returns a CloudEvent (1.0) in JSON."""
    event = {
        "specversion": "1.0",
        "id": str(made),
        "source": source,
        "type": notice.type.value,
        "subject": notice.subject,
        "time": notice.time.astimezone(UTC).isoformat(timespec="microseconds"),
        "datacontenttype": "application/json",
        "data": notice.data,
    }
    return json.dumps(event, separators=(",", ":"))
