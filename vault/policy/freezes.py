"""When the policy freezes who touches honey tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["FreezeRule", "strictest_of", "strictest_rule"]


@dataclass(frozen=True, slots=True)
class FreezeRule:
    """An entry of ``freezes``.

    Attributes:
        touches: so many honey tokens freeze.
        seconds: within which they count, or 0 for a single one.
        roles: of whom, or empty for all whom no other entry names.
    """

    touches: int
    seconds: int = 0
    roles: frozenset[str] = frozenset()
    line: int = field(default=0, compare=False)


def strictest_rule(rules: Sequence[FreezeRule], roles: Collection[str]) -> FreezeRule | None:
    """Returns the rule for who holds these roles; of several that name one, the strictest."""
    naming = [rule for rule in rules if not rule.roles.isdisjoint(roles)]
    others = [rule for rule in rules if not rule.roles]
    return strictest_of(naming or others)


def strictest_of(rules: Iterable[FreezeRule]) -> FreezeRule | None:
    """Returns the rule that freezes first, None of none."""
    return min(rules, key=lambda rule: (rule.touches, -rule.seconds), default=None)
