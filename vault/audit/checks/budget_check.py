"""Comparing the counters of budgets with their MACs, and with what the audit says was charged.

A MAC shows a counter that was written by hand. One that was genuine once and was put back, or
removed, counts fewer values than the records of the calls that charged it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from sqlalchemy import Connection, text

from vault.audit.chain import FindingKind, KeyOf
from vault.audit.json_text import read_json
from vault.audit.record import Record
from vault.errors import DecryptionFailed
from vault.model import Action, TokenSpace
from vault.service.audit import Finding
from vault.service.budgets import TABLE, counter_cells
from vault.service.ports import BudgetCounter, BudgetKey

__all__ = ["BudgetCheck"]

_Place: TypeAlias = tuple[str, str, str, str, str]  # tenant, field, action, view, principal

_MAX_FINDINGS = 1000
# What a record's body has where a budget was charged.
_MARK = '"budget":{'
_ROWS = text(
    "SELECT tenant, field, action, view, principal, total, windows, key_version, mac"
    " FROM budget_counters ORDER BY tenant, field, action, view, principal"
)


class BudgetCheck:
    """Checks the counters beside a verification; in memory is a number for each.

    Raises what the driver raises, KeysUnavailable.
    """

    def __init__(self, connection: Connection, key_of: KeyOf) -> None:
        self._connection = connection
        self._key_of = key_of
        self._charged: Counter[_Place] = Counter()

    def inspect(self, records: Iterator[Record]) -> Iterator[Record]:
        """Passes records on, and adds up what each says was charged."""
        for record in records:
            if _MARK in record.body:
                self._add(record.body)
            yield record

    def findings(self) -> list[Finding]:
        """Returns what was found, once all records have passed."""
        found: list[Finding] = []
        for row in self._connection.execute(_ROWS, execution_options={"yield_per": 1000}):
            place: _Place = tuple(row[:5])
            counter = BudgetCounter(row.total, row.windows, row.key_version, bytes(row.mac))
            charged = self._charged.pop(place, 0)
            if not self._genuine(place, counter):
                found.append(_finding(FindingKind.FORGED_ROW, place, "was not written by a server"))
            elif counter.total < charged:
                what = f"counts {counter.total:,} values, and records {charged:,}: it was put back"
                found.append(_finding(FindingKind.ROLLED_BACK, place, what))
        found += [
            _finding(FindingKind.ROLLED_BACK, place, f"is gone; records count {charged:,} values")
            for place, charged in sorted(self._charged.items())
        ]
        return found[:_MAX_FINDINGS]

    def _genuine(self, place: _Place, counter: BudgetCounter) -> bool:
        tenant, field, action, view, principal = place
        try:
            key = BudgetKey(TokenSpace(tenant, field), Action(action), view, principal)
            mac_key = self._key_of(counter.key_version)
        except (ValueError, DecryptionFailed):
            return False
        return mac_key.rows.verify(TABLE, counter_cells(key, counter), counter.mac)

    def _add(self, body: str) -> None:
        try:
            document = read_json(body)
        except ValueError:
            return  # the check of its chain says what is wrong with it
        match document:
            case {
                "outcome": "allowed",
                "tenant": str(tenant),
                "field": str(field),
                "principal": str(principal),
                "budget": {"action": str(action), "view": str(view)},
                "counts": dict(counts),
            }:
                place = tenant, field, action, view, principal
                self._charged[place] += _sum(counts)


def _sum(counts: Mapping[str, object]) -> int:
    return sum(count for count in counts.values() if isinstance(count, int))


def _finding(kind: FindingKind, place: _Place, what: str) -> Finding:
    _, field, action, view, principal = (json.dumps(part)[1:-1] for part in place)
    message = f"the budget of {principal} for {action} on {field}, view {view}, {what}"
    return Finding("", 0, kind.value, message)
