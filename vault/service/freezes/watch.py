"""Who is frozen, as this process knows it: asked by every call, read again every second.

What is known stays known: a freeze whose row is gone, put back or not ours holds until a genuine,
later row lifts it. So the database's owner ends no freeze while a server runs that knows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from vault.errors import Denied, Reason, StoreUnavailable
from vault.model import Caller, FreezeTarget
from vault.service.freezes.model import Freeze, targets_of
from vault.service.freezes.rows import FreezeRows
from vault.service.ports import FreezeRow

__all__ = ["FreezeWatch"]

Refused = Callable[[FreezeTarget, str], None]
"""What reports a freeze's row that is not believed, with the reason."""


@dataclass(frozen=True, slots=True)
class _Known:
    frozen: bool
    changed: datetime | None
    touched: int
    row: FreezeRow
    noted: float = -float("inf")


class FreezeWatch:
    """The freezes that one process knows; threads share it.

    Args:
        refused: called once for each row that is not believed, until it is another one.
        stale_after: seconds since the last look after which no call is answered.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self,
        rows: FreezeRows,
        refused: Refused,
        *,
        stale_after: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._refused = refused
        self._stale_after = stale_after
        self._clock = clock
        self._lock = Lock()
        self._looked = -float("inf")
        self._known: dict[FreezeTarget, _Known] = {}
        self._held: set[FreezeTarget] = set()
        self._frozen: frozenset[FreezeTarget] = frozenset()
        self._reported: dict[FreezeTarget, FreezeRow | None] = {}

    def check(self, caller: Caller) -> None:
        """Raises Denied (PRINCIPAL_FROZEN) for who is frozen.

        Raises StoreUnavailable where nobody has looked for too long.
        """
        if self._clock() - self._looked > self._stale_after:
            raise StoreUnavailable("who is frozen could not be read recently")
        frozen = self._frozen
        if frozen and not frozen.isdisjoint(targets_of(caller)):
            raise Denied("this caller is frozen", reason=Reason.PRINCIPAL_FROZEN)

    def hold(self, target: FreezeTarget) -> None:
        """Refuses a target from now on, until its row is written."""
        with self._lock:
            self._held.add(target)
            self._take(self._known)

    def is_frozen(self, target: FreezeTarget) -> bool:
        """Returns whether calls of a target are refused by this process."""
        return target in self._frozen

    def refresh(self, rows: Sequence[FreezeRow], began: float) -> None:
        """Takes all rows that there are, as read by a look that began then."""
        with self._lock:
            self._take(self._compared(rows, began))
        self._looked = began

    def _compared(self, rows: Sequence[FreezeRow], began: float) -> dict[FreezeTarget, _Known]:
        known = dict(self._known)
        # What was written after the look began, it may not have seen.
        settled = {target for target, each in known.items() if each.noted < began}
        missing = {target for target in settled if known[target].changed is not None}
        for row in rows:
            target = FreezeTarget(row.kind, row.name)
            missing.discard(target)
            before = known.get(target)
            if before is None or (before.row != row and target in settled):
                known[target] = self._judged(target, row, before)
        for target in missing:
            self._report(target, None, "is gone")
        return known

    def note(self, freeze: Freeze, row: FreezeRow) -> None:
        """Takes what this process has just written."""
        with self._lock:
            self._settle(freeze, self._known.get(freeze.target))
            noted = _Known(freeze.frozen, freeze.changed, freeze.touched, row, self._clock())
            self._take({**self._known, freeze.target: noted})

    def _judged(self, target: FreezeTarget, row: FreezeRow, before: _Known | None) -> _Known:
        freeze = self._rows.read(row)
        if freeze is None:
            # Somebody wrote it by hand, perhaps to end a freeze.
            self._report(target, row, "was not written by a server")
            return _Known(True, before.changed if before else None, 0, row)
        if before is not None and _is_older(freeze, before):
            self._report(target, row, "is older than this server knows it")
            return before
        self._settle(freeze, before)
        return _Known(freeze.frozen, freeze.changed, freeze.touched, row)

    def _settle(self, freeze: Freeze, before: _Known | None) -> None:
        """Holds a target no longer that was frozen, or lifted, since it was known.

        Counting alone says nothing of later touches, which may be what it is held for.
        """
        if freeze.frozen or freeze.changed != (before.changed if before else None):
            self._held.discard(freeze.target)

    def _take(self, known: dict[FreezeTarget, _Known]) -> None:
        self._known = known
        frozen = (target for target, each in known.items() if each.frozen)
        self._frozen = frozenset(frozen) | self._held

    def _report(self, target: FreezeTarget, row: FreezeRow | None, why: str) -> None:
        if target not in self._reported or self._reported[target] != row:
            self._reported[target] = row
            self._refused(target, why)


def _is_older(freeze: Freeze, before: _Known) -> bool:
    if freeze.changed == before.changed:
        return freeze.touched < before.touched
    return before.changed is not None and (
        freeze.changed is None or freeze.changed < before.changed
    )
