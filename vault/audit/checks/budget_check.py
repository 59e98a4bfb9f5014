"""Comparing the counters of budgets with their MACs, and with what the audit says was charged.

A MAC shows a counter that was written by hand. One that was genuine once and was put back, or
removed, counts fewer values than the records of the calls that charged it.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, text

from vault.audit.chain import FindingKind, KeyOf
from vault.audit.checks.record_sums import BudgetPlace, RecordSums
from vault.crypto.key_versions import verifies_under
from vault.model import Action, TokenSpace
from vault.service.audit import Finding
from vault.service.budgets import TABLE, counter_cells
from vault.service.ports import BudgetCounter, BudgetKey

__all__ = ["BudgetCheck"]

_MAX_FINDINGS = 1000
_ROWS = text(
    "SELECT tenant, field, action, view, principal, total, windows, key_version, mac"
    " FROM budget_counters ORDER BY tenant, field, action, view, principal"
)


class BudgetCheck:
    """Checks the counters beside a verification. Raises what the driver raises, KeysUnavailable."""

    def __init__(self, connection: Connection, key_of: KeyOf) -> None:
        self._connection = connection
        self._key_of = key_of

    def findings(self, sums: RecordSums) -> list[Finding]:
        """Compares the counters with what all records add up to."""
        found: list[Finding] = []
        missing = dict(sums.charged)
        for row in self._connection.execute(_ROWS, execution_options={"yield_per": 1000}):
            place: BudgetPlace = tuple(row[:5])
            counter = BudgetCounter(row.total, row.windows, row.key_version, bytes(row.mac))
            charged = missing.pop(place, 0)
            if not self._genuine(place, counter):
                found.append(_finding(FindingKind.FORGED_ROW, place, "was not written by a server"))
            elif counter.total < charged:
                what = f"counts {counter.total:,} values, and records {charged:,}: it was put back"
                found.append(_finding(FindingKind.ROLLED_BACK, place, what))
        found += [
            _finding(FindingKind.ROLLED_BACK, place, f"is gone; records count {charged:,} values")
            for place, charged in sorted(missing.items())
        ]
        return found[:_MAX_FINDINGS]

    def _genuine(self, place: BudgetPlace, counter: BudgetCounter) -> bool:
        tenant, field, action, view, principal = place
        try:
            key = BudgetKey(TokenSpace(tenant, field), Action(action), view, principal)
        except ValueError:
            return False
        cells = counter_cells(key, counter)
        return verifies_under(
            self._key_of,
            counter.key_version,
            lambda mac_key: mac_key.rows.verify(TABLE, cells, counter.mac),
        )


def _finding(kind: FindingKind, place: BudgetPlace, what: str) -> Finding:
    _, field, action, view, principal = (json.dumps(part)[1:-1] for part in place)
    message = f"the budget of {principal} for {action} on {field}, view {view}, {what}"
    return Finding("", 0, kind.value, message)
