"""How many people of which roles must approve a reveal, and whether those who did are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from vault.policy.budgets import Budget
from vault.policy.limits import window_text

__all__ = ["Approvals", "Approved", "ApproverGroup", "BreakGlass"]


@dataclass(frozen=True, slots=True)
class Approved:
    """One person's approval, by what counts of them.

    Attributes:
        roles: those that the person held.
        apart: whether the person was in none of the requester's groups.
    """

    roles: frozenset[str]
    apart: bool


@dataclass(frozen=True, slots=True)
class ApproverGroup:
    """So many people of a role.

    Attributes:
        not_same_group: whether somebody who is in a group of the requester's does not count.
    """

    of: str
    count: int = 1
    not_same_group: bool = False

    def takes(self, approved: Approved) -> bool:
        """Returns whether an approval counts here."""
        return self.of in approved.roles and (approved.apart or not self.not_same_group)

    def __str__(self) -> str:
        apart = " of another group" if self.not_same_group else ""
        return f"{self.count} x {self.of}{apart}"


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """How values may be revealed in an emergency, before anybody approves.

    Attributes:
        grant_ttl: for how long such a grant is good, at most.
        budget: how many values each principal may ask for so.
        review: one person who must write a review before the requester's next.
    """

    grant_ttl: timedelta
    budget: Budget
    review: ApproverGroup

    def __str__(self) -> str:
        quotas = " and ".join(
            f"{each.values:,} per {window_text(each.seconds)}" for each in self.budget
        )
        ttl = window_text(int(self.grant_ttl.total_seconds()))
        return f"{quotas}, for {ttl}, reviewed by {self.review}"


@dataclass(frozen=True, slots=True)
class Approvals:
    """What a rule asks for before values may be revealed: all of its groups.

    Attributes:
        grant_ttl: for how long a grant is good, at most.
        break_glass: how the rule does without them in an emergency, or None.
    """

    groups: tuple[ApproverGroup, ...]
    grant_ttl: timedelta
    break_glass: BreakGlass | None = None

    def __str__(self) -> str:
        return " and ".join(map(str, self.groups))

    @property
    def people(self) -> int:
        """How many people it takes."""
        return sum(group.count for group in self.groups)

    def met_by(self, approved: Sequence[Approved]) -> bool:
        """Returns whether approvals are enough. Each counts in one group, whatever roles it has."""
        return not self.missing(approved)

    def missing(self, approved: Sequence[Approved]) -> tuple[str, ...]:
        """Returns the role of each approval that is missing, as few as can be, sorted.

        Finds which approval counts in which group by augmenting paths: an approval that fits
        several groups moves on to another where that makes room.
        """
        seats = [group for group in self.groups for _ in range(group.count)]
        taken: dict[int, int] = {}  # seat -> approval

        def seated(approval: int, tried: set[int]) -> bool:
            for seat, group in enumerate(seats):
                if seat in tried or not group.takes(approved[approval]):
                    continue
                tried.add(seat)
                if seat not in taken or seated(taken[seat], tried):
                    taken[seat] = approval
                    return True
            return False

        for approval in range(len(approved)):
            seated(approval, set())
        return tuple(sorted(group.of for at, group in enumerate(seats) if at not in taken))
