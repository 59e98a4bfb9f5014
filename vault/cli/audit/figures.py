"""What audit records add up to: calls and values shown, by caller, field, purpose and day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from vault.cli.audit.bodies import read_body, text_of
from vault.v1.audit_service_pb2 import AuditRecord

__all__ = ["OUTCOMES", "Figures", "Sum", "Use"]

OUTCOMES = ("allowed", "denied", "failed")
_SHOWING = frozenset({"Detokenize", "DetokenizeColumn", "Decrypt"})


@dataclass(frozen=True, slots=True)
class Use:
    """Who called, on what, and what for; what a record does not say is empty."""

    who: str
    field: str
    purpose: str


@dataclass(slots=True)
class Sum:
    """Calls by outcome, and how many values callers were shown."""

    calls: Counter[str] = field(default_factory=Counter)
    values: int = 0

    def add(self, other: Sum) -> None:
        """Adds another sum."""
        self.calls.update(other.calls)
        self.values += other.values


@dataclass
class Figures:
    """The sums of the records that were fed, in memory that grows with the sums alone.

    Attributes:
        days: by date, UTC.
        unreadable: records that are missing or were edited; they are in no sum.
        pruned: records whose time was over; they are in no sum either.
    """

    uses: dict[Use, Sum] = field(default_factory=dict)
    days: dict[str, Sum] = field(default_factory=dict)
    records: int = 0
    unreadable: int = 0
    pruned: int = 0

    def feed(self, record: AuditRecord) -> None:
        """Takes a record; those of no call count as records only."""
        self.records += 1
        body = read_body(record)
        if record.pruned:
            self.pruned += 1
            return
        if body is None:
            self.unreadable += 1
            return
        if body.get("kind") != "call":
            return
        one = Sum(Counter([text_of(body, "outcome")]), _values(body))
        use = Use(_who(body), text_of(body, "field"), _purpose(body))
        self.uses.setdefault(use, Sum()).add(one)
        self.days.setdefault(text_of(body, "time")[:10], Sum()).add(one)

    def by(self, name: str) -> dict[str, Sum]:
        """Returns the sums by one of who, field and purpose."""
        sums: dict[str, Sum] = {}
        for use, one in self.uses.items():
            sums.setdefault(getattr(use, name), Sum()).add(one)
        return sums


def _purpose(body: Mapping[str, object]) -> str:
    # Refused calls that share a record have the message there that they were answered with.
    return text_of(body, "purpose") if text_of(body, "rpc") != "*" else ""


def _who(body: Mapping[str, object]) -> str:
    person = body.get("person")
    return text_of(person, "value") if isinstance(person, dict) else text_of(body, "principal")


def _values(body: Mapping[str, object]) -> int:
    counts = body.get("counts")
    found = counts.get("ok", 0) if isinstance(counts, dict) else 0
    shown = text_of(body, "outcome") == "allowed" and text_of(body, "rpc") in _SHOWING
    return found if isinstance(found, int) and shown else 0
