"""How many values a principal may have worked on, per field, action and window of time.

Whoever may tokenize or look up can try every value of a small field: a limit makes
that take longer than it is worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from vault.model import Action

__all__ = ["CountedBy", "Limit", "Quota", "quotas_of", "window_text"]

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


class CountedBy(StrEnum):
    """Whose values are counted together."""

    PRINCIPAL = "principal"


@dataclass(frozen=True, slots=True)
class Quota:
    """What each principal has on one field for one action.

    Attributes:
        seconds: length of the window; windows follow each other from the epoch on.
        values: most values in one window.
    """

    seconds: int
    values: int


@dataclass(frozen=True, slots=True)
class Limit:
    """An entry of ``limits``: the same quota on each of its fields for each of its actions.

    Attributes:
        fields: the fields concerned, ``*`` written out.
    """

    fields: frozenset[str]
    actions: frozenset[Action]
    quota: Quota
    by: CountedBy = CountedBy.PRINCIPAL
    line: int = field(default=0, compare=False)

    def concerns(self, action: Action, name: str | None) -> bool:
        """Returns whether an action on a field counts."""
        return action in self.actions and name in self.fields


def quotas_of(limits: Iterable[Limit]) -> Mapping[tuple[Action, str], tuple[Quota, ...]]:
    """Returns the quotas of each action on each field, one per window, shortest first.

    Every one of them holds; of several for windows of one length, the smallest does.
    """
    found: dict[tuple[Action, str], dict[int, int]] = {}
    for limit in limits:
        seconds, values = limit.quota.seconds, limit.quota.values
        for pair in ((action, name) for action in limit.actions for name in limit.fields):
            windows = found.setdefault(pair, {})
            windows[seconds] = min(values, windows.get(seconds, values))
    return MappingProxyType(
        {pair: tuple(Quota(*each) for each in sorted(ws.items())) for pair, ws in found.items()}
    )


def window_text(seconds: int) -> str:
    """Returns a window's length as the policy writes it, such as ``1h``."""
    for unit, size in _UNITS:
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
