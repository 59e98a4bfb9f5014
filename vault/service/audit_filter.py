"""Which audit records an auditor wants to see.

A filter judges the verified body of a record. A record that does not verify has none: whether
it was wanted is unknown, so it is always shown.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from vault.errors import InvalidRequest
from vault.uuids import read_uuid

__all__ = ["EVERYTHING", "AuditFilter"]

MAX_ALTERNATIVES = 100
_OUTCOMES = frozenset(("allowed", "denied", "failed"))


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """All that is given must hold; of several alternatives, one. What is empty always holds.

    Attributes:
        since, until: of the record's own time: from ``since`` on, before ``until``.
        fields: names of the policy's fields; records of calls on no field have an empty one.
        persons: people by what their claim says, such as an address.
        grants: ids of reveals.
        writer: a writer's id.
        number: a record's number within its writer's chain; only with ``writer``.
    """

    since: datetime | None = None
    until: datetime | None = None
    principals: Collection[str] = ()
    fields: Collection[str] = ()
    outcomes: Collection[str] = ()
    rpcs: Collection[str] = ()
    writer: str = ""
    number: int = 0
    request_id: str = ""
    purposes: Collection[str] = ()
    persons: Collection[str] = ()
    grants: Collection[str] = ()

    def check(self) -> None:
        """Raises InvalidRequest where it is malformed; the message quotes nothing of it."""
        alternatives = (
            *(self.principals, self.fields, self.outcomes, self.rpcs),
            *(self.purposes, self.persons, self.grants),
        )
        if any(len(each) > MAX_ALTERNATIVES for each in alternatives):
            raise InvalidRequest(f"a filter has at most {MAX_ALTERNATIVES} alternatives of a kind")
        if self.number < 0 or (self.number and not self.writer):
            raise InvalidRequest("a record's number begins at 1 and needs its writer")
        if self.writer and read_uuid(self.writer) is None:
            raise InvalidRequest("a writer is a UUID in its usual form, in lower case")
        if not _OUTCOMES.issuperset(self.outcomes):
            raise InvalidRequest("the outcomes of records are allowed, denied and failed")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise InvalidRequest("a filter's time ends before it begins")

    def matches(self, writer: str, number: int, body: str) -> bool:
        """Returns whether a record is wanted; one without a body always is."""
        if self.writer and writer and writer != self.writer:
            return False
        if self.number and number and number != self.number:
            return False
        return not body or self._wants(json.loads(body))

    def _wants(self, body: Mapping[str, object]) -> bool:
        named = (
            (self.principals, "principal"),
            (self.fields, "field"),
            (self.outcomes, "outcome"),
            (self.rpcs, "rpc"),
            (self.purposes, "purpose"),
            (self.grants, "grant"),
        )
        if any(wanted and body.get(name) not in wanted for wanted, name in named):
            return False
        if self.persons and _person(body) not in self.persons:
            return False
        if self.request_id and body.get("request_id") != self.request_id:
            return False
        return self._in_time(str(body.get("time", "")))

    def _in_time(self, text: str) -> bool:
        if self.since is None and self.until is None:
            return True
        time = datetime.fromisoformat(text)
        early = self.since is not None and time < self.since
        late = self.until is not None and time >= self.until
        return not (early or late)


EVERYTHING = AuditFilter()


def _person(body: Mapping[str, object]) -> object:
    person = body.get("person")
    return person.get("value") if isinstance(person, dict) else None
