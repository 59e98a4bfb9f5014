"""Charges a call's values to its caller's budgets: all of them, or the call is refused.

In the transaction of the work and before any value is opened, so that the count is exact over
every server. The counter's row is believed only under its MAC: its database's owner could
otherwise lower it. One that was put back is noticed by a server that knows a later one of it,
and by the verification of the audit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock

from vault.crypto.key_versions import verifies_under
from vault.crypto.row_mac import Cell
from vault.errors import BudgetExhausted, BudgetInvalid, Reason, StoreUnavailable
from vault.policy.budgets import Budget
from vault.policy.limits import Quota, window_text
from vault.service.budget_windows import Window, charged, read_windows, write_windows
from vault.service.ports import BudgetCounter, BudgetKey, BudgetStore, KeySource

__all__ = ["TABLE", "Budgets", "counter_cells"]

TABLE = "budget_counters"
"""What the MACs of counters are made over: the name of their table."""

_MAX_KNOWN = 10_000


def counter_cells(key: BudgetKey, counter: BudgetCounter) -> Sequence[Cell]:
    """Returns the cells of a counter's row that its MAC is made over."""
    space = key.space
    place = (space.tenant, space.field, key.action.value, key.view, key.principal)
    return (*place, counter.total, counter.windows)


class Budgets:
    """The budgets of one server process; threads share it."""

    def __init__(
        self, keys: KeySource, refused: Callable[[BudgetKey, str], None] = lambda _, __: None
    ) -> None:
        """Takes the keys, and what reports a counter that is not believed, with the reason."""
        self._keys = keys
        self._refused = refused
        self._known = _KnownTotals()

    def charge(
        self, store: BudgetStore, key: BudgetKey, budgets: Sequence[Budget], values: int
    ) -> int:
        """Charges ``values`` to the counter, if one of the budgets has enough left.

        Returns:
            All values that were ever charged to it.

        Raises:
            BudgetExhausted, BudgetInvalid, StoreUnavailable. The caller must end the transaction
                without a commit.
        """
        known = self._known.of(key)
        now, counter = self._locked(store, key)
        self._check(key, counter, known)
        lengths = frozenset(quota.seconds for budget in budgets for quota in budget)
        windows = charged(read_windows(counter.windows), lengths, values, now)
        over = [_over(budget, windows) for budget in budgets]
        if all(over):
            raise _exhausted(budgets, windows, values, now)
        total = counter.total + values
        store.update(key, self._sealed(key, total, write_windows(windows)))
        return total

    def left(self, store: BudgetStore, key: BudgetKey, budget: Budget) -> Sequence[int]:
        """Returns how many values are left now in each window of a budget; charges nothing.

        Raises BudgetInvalid, StoreUnavailable.
        """
        now, counter = store.lock(key)
        if counter is None:
            return [quota.values for quota in budget]
        self._check(key, counter, self._known.of(key))
        lengths = frozenset(quota.seconds for quota in budget)
        windows = charged(read_windows(counter.windows), lengths, 0, now)
        return [max(0, quota.values - windows[quota.seconds].used) for quota in budget]

    def remember(self, key: BudgetKey, total: int) -> None:
        """Takes note of what a charge that is committed came to."""
        self._known.note(key, total)

    def _locked(self, store: BudgetStore, key: BudgetKey) -> tuple[int, BudgetCounter]:
        now, counter = store.lock(key)
        if counter is None:
            store.insert(key, self._sealed(key, 0, write_windows({})))
            now, counter = store.lock(key)
        if counter is None:
            raise StoreUnavailable("the database keeps no budget", reason=Reason.INTERNAL)
        return now, counter

    def _sealed(self, key: BudgetKey, total: int, windows: str) -> BudgetCounter:
        mac_key = self._keys.audit_key(key.space.tenant)
        unsealed = BudgetCounter(total, windows, mac_key.version, b"")
        return replace(unsealed, mac=mac_key.rows.mac(TABLE, counter_cells(key, unsealed)))

    def _check(self, key: BudgetKey, counter: BudgetCounter, known: int) -> None:
        if not self._verifies(key, counter):
            what = "was not written by a server"
        elif counter.total < known:
            what = "is older than this server knows it"
        else:
            return
        self._refused(key, what)
        raise BudgetInvalid

    def _verifies(self, key: BudgetKey, counter: BudgetCounter) -> bool:
        cells = counter_cells(key, counter)
        return verifies_under(
            partial(self._keys.audit_key, key.space.tenant),
            counter.key_version,
            lambda mac_key: mac_key.rows.verify(TABLE, cells, counter.mac),
        )


class _KnownTotals:
    """The last totals of the counters that this process charged: of the latest ones."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._totals: OrderedDict[BudgetKey, int] = OrderedDict()

    def of(self, key: BudgetKey) -> int:
        with self._lock:
            return self._totals.get(key, 0)

    def note(self, key: BudgetKey, total: int) -> None:
        with self._lock:
            self._totals[key] = max(total, self._totals.pop(key, 0))
            if len(self._totals) > _MAX_KNOWN:
                self._totals.popitem(last=False)


def _over(budget: Budget, windows: dict[int, Window]) -> list[Quota]:
    return [quota for quota in budget if windows[quota.seconds].used > quota.values]


def _exhausted(
    budgets: Sequence[Budget], windows: dict[int, Window], values: int, now: int
) -> BudgetExhausted:
    """Says of the budget that has most left what it is, and when there is enough."""

    def left(quota: Quota) -> int:
        return max(0, quota.values - (windows[quota.seconds].used - values))

    budget = max(budgets, key=lambda each: min(map(left, each)))
    tightest = min(budget, key=left)
    text = f"the budget of {tightest.values:,} values per {window_text(tightest.seconds)}"
    asked = f"{text} has {left(tightest):,} left, and this call asks for {values:,}"
    if any(values > quota.values for quota in budget):
        return BudgetExhausted(f"{asked}, more than there ever are: split it", left(tightest))
    # All windows of the budget must have enough: the last one decides.
    over = _over(budget, windows)
    wait = max(
        windows[quota.seconds].until_freed(windows[quota.seconds].used - quota.values, now)
        for quota in over
    )
    return BudgetExhausted(
        f"{asked}; there is enough in {wait:,.0f} s", left(tightest), retry_after=wait
    )
