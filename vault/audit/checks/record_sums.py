"""What records add up to: values charged to budgets, tokens shown under reveals, how these ended.

Counters and reveals are compared with it. A pruning keeps the sums of the records that it drops,
so that the comparison goes on as if they were there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias

from vault.audit.json_text import read_count, read_json
from vault.audit.record import canonical_json
from vault.uuids import read_uuid

__all__ = ["BudgetPlace", "RecordSums"]

BudgetPlace: TypeAlias = tuple[str, str, str, str, str]
"""Tenant, field, action, view and principal of a budget's counter."""

# What the body of a record has that says something: the id of no reveal is empty.
_BUDGET = '"budget":{'
_GRANT = '"grant":"'
_NO_GRANT = '"grant":""'
_ENDS = {"DenyReveal": "denied", "WithdrawReveal": "withdrawn", "RevokeReveal": "revoked"}


@dataclass
class RecordSums:
    """The sums of some records, in memory a number for each counter and reveal.

    Attributes:
        charged: values, by budget.
        shown: tokens, by reveal; every reveal that is named is in it.
        ended: the state of the reveals that somebody ended.
        reviewed: the reveals that were granted in an emergency and reviewed.
    """

    charged: Counter[BudgetPlace] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    ended: dict[str, str] = field(default_factory=dict)
    reviewed: set[str] = field(default_factory=set)

    def add(self, body: str) -> None:
        """Adds what a record's body says, if it says something."""
        of_budget = _BUDGET in body
        of_reveal = _GRANT in body and _NO_GRANT not in body
        if not (of_budget or of_reveal):
            return
        try:
            document = read_json(body)
        except ValueError:
            return  # the check of its chain says what is wrong with it
        match document:
            case {"outcome": "allowed", **entries}:
                if of_budget:
                    self._add_charge(entries)
                if of_reveal:
                    self._add_showing(entries)

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return sha256(self.to_text().encode()).hexdigest()

    def to_text(self) -> str:
        """Writes the sums as canonical JSON."""
        budgets = [[*place, values] for place, values in sorted(self.charged.items())]
        reveals = [
            [reveal, shown, self.ended.get(reveal, "")]
            for reveal, shown in sorted(self.shown.items())
        ]
        # Where there are none, nothing: as texts were before there were reviews.
        reviews = {"reviews": sorted(self.reviewed)} if self.reviewed else {}
        return canonical_json({"budgets": budgets, "reveals": reveals, **reviews})

    @classmethod
    def from_text(cls, text: str) -> RecordSums:
        """Reads what ``to_text`` wrote. Raises ValueError."""
        sums = cls()
        match read_json(text):
            case {"budgets": list(budgets), "reveals": list(reveals), **others}:
                for each in budgets:
                    sums._read_budget(each)
                for each in reveals:
                    sums._read_reveal(each)
                sums._read_reviews(others.get("reviews", []))
                return sums
        raise ValueError("not the sums of records")

    def _read_budget(self, row: object) -> None:
        match row:
            case [str(tenant), str(name), str(action), str(view), str(principal), values]:
                self.charged[tenant, name, action, view, principal] += read_count(values)
                return
        raise ValueError("not a budget's sum")

    def _read_reveal(self, row: object) -> None:
        match row:
            case [str(reveal), shown, str(ended)]:
                self.shown[reveal] += read_count(shown)
                if ended:
                    self.ended[reveal] = ended
                return
        raise ValueError("not a reveal's sum")

    def _read_reviews(self, reviews: object) -> None:
        match reviews:
            case list(names) if all(isinstance(name, str) for name in names):
                self.reviewed.update(names)
                return
        raise ValueError("not the reviews of reveals")

    def _add_charge(self, entries: Mapping[object, object]) -> None:
        match entries:
            case {
                "tenant": str(tenant),
                "field": str(name),
                "principal": str(principal),
                "budget": {"action": str(action), "view": str(view)},
                "counts": dict(counts),
            }:
                values = sum(count for count in counts.values() if isinstance(count, int))
                self.charged[tenant, name, action, view, principal] += values

    def _add_showing(self, entries: Mapping[object, object]) -> None:
        match entries:
            case {"rpc": str(rpc), "grant": str(grant), **others} if read_uuid(grant):
                shown = others.get("charged", 0)
                self.shown[grant] += shown if isinstance(shown, int) else 0
                if rpc == "ReviewReveal":
                    self.reviewed.add(grant)
                if rpc in _ENDS:
                    self.ended[grant] = _ENDS[rpc]
