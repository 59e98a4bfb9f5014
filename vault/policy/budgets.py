"""How many values a principal may read under a rule, per field, action, view and window of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from vault.model import OnDenied
from vault.policy.limits import Quota

__all__ = ["Allowance", "Budget"]

Budget: TypeAlias = tuple[Quota, ...]
"""A rule's quotas, one a window, shortest window first: every one of them holds."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The budgets by which a call may go on.

    Attributes:
        view: the one that the rules grant, for which values are counted.
        budgets: of the rules that allow the call: it needs one that has enough left.
        on_denied: what is answered where none has.
    """

    view: str
    budgets: tuple[Budget, ...]
    on_denied: OnDenied = OnDenied.ERROR
