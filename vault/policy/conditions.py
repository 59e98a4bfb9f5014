"""What a rule asks of a call besides who makes it.

A caller may hold several rules for one thing. Each is judged alone, and one whose conditions are
all met is enough: what one rule asks takes nothing from what another gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from vault.errors import Reason
from vault.model import OnDenied
from vault.policy.approvals import Approvals
from vault.policy.budgets import Budget
from vault.policy.hours import Hours
from vault.policy.limits import window_text
from vault.policy.networks import Address, Network, contains
from vault.policy.ticket_pattern import TicketPattern

__all__ = ["UNCONDITIONAL", "CallContext", "Conditions", "Unmet"]


@dataclass(frozen=True, slots=True)
class CallContext:
    """What of a call a rule may ask about.

    Attributes:
        purpose: what the caller says it is for, or empty.
        ticket: the ticket that the caller names, or empty.
        time: when it came (aware), or None where that is unknown.
        address: where it came from, or None where that is no network address.
    """

    purpose: str = field(default="", repr=False)
    ticket: str = field(default="", repr=False)
    time: datetime | None = None
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Unmet:
    """The first condition that a call does not meet.

    Attributes:
        progress: how many conditions come before it: of several rules, the one that the call
            came furthest with says why it is refused.
        message: repeats nothing that the caller sent.
    """

    progress: int
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a rule asks of a call. Nothing is asked by default.

    Attributes:
        purposes: of which the call must name one, or empty.
        ticket: what the ticket must match that the call then must name. A call under a rule
            without one names none: it would get into the audit unseen.
        networks: from one of which the call must come, or empty.
        hours: in which the call must come, or None.
        budget: how many values each principal may read; charged with the work, not judged here.
        on_denied: what is answered for each token of a call that does not meet all of them.
        approvals: without a grant that has them, the call is refused. None where it needs
            no grant.
        receipt: whether who is answered values gets a signed receipt of it; it asks nothing.
    """

    purposes: frozenset[str] = frozenset()
    ticket: TicketPattern | None = None
    networks: frozenset[Network] = frozenset()
    hours: Hours | None = None
    budget: Budget = ()
    on_denied: OnDenied = OnDenied.ERROR
    approvals: Approvals | None = None
    receipt: bool = False

    def unmet(self, context: CallContext) -> Unmet | None:
        """Returns the first condition that a call does not meet, None where it meets all.

        Approvals are no such condition: whether a grant has them, its row says.
        """
        return next(self.all_unmet(context), None)

    def all_unmet(self, context: CallContext) -> Iterator[Unmet]:
        """Yields every condition that a call does not meet, in the order of ``unmet``."""
        checks = (self._networks, self._hours, self._purpose, self._ticket)
        for progress, check in enumerate(checks):
            refusal = check(context)
            if refusal is not None:
                yield Unmet(progress, *refusal)

    def described(self) -> Iterator[tuple[str, str]]:
        """Yields each condition as the policy has it: its key, and its value as text."""
        if self.approvals is not None:
            yield "approvals", str(self.approvals)
            yield "grant_ttl", window_text(int(self.approvals.grant_ttl.total_seconds()))
            if self.approvals.break_glass is not None:
                yield "break_glass", str(self.approvals.break_glass)
        if self.purposes:
            yield "purposes", ", ".join(sorted(self.purposes))
        if self.ticket is not None:
            yield "ticket", str(self.ticket)
        if self.networks:
            yield "networks", ", ".join(sorted(map(str, self.networks)))
        if self.hours is not None:
            yield "hours", str(self.hours)
        if self.budget:
            quotas = (f"{each.values:,} per {window_text(each.seconds)}" for each in self.budget)
            yield "budget", " and ".join(quotas)
        if self.on_denied is not OnDenied.ERROR:
            yield "on_denied", self.on_denied.value
        if self.receipt:
            yield "receipt", "true"

    @property
    def can_deny(self) -> bool:
        """Whether there is anything that a call may fail to meet."""
        return any(key not in ("on_denied", "receipt") for key, _ in self.described())

    def _networks(self, context: CallContext) -> tuple[Reason, str] | None:
        address = context.address
        if not self.networks:
            return None
        if address is None or not any(contains(each, address) for each in self.networks):
            return _OUTSIDE_NETWORKS
        return None

    def _hours(self, context: CallContext) -> tuple[Reason, str] | None:
        if self.hours is None:
            return None
        if context.time is None or not self.hours.contain(context.time):
            return _OUTSIDE_HOURS
        return None

    def _purpose(self, context: CallContext) -> tuple[Reason, str] | None:
        if not self.purposes or context.purpose in self.purposes:
            return None
        return _NOT_ALLOWED_PURPOSE if context.purpose else _NO_PURPOSE

    def _ticket(self, context: CallContext) -> tuple[Reason, str] | None:
        if self.ticket is None:
            return _UNASKED_TICKET if context.ticket else None
        if not context.ticket:
            return _NO_TICKET
        return None if self.ticket.matches(context.ticket) else _NOT_ALLOWED_TICKET


UNCONDITIONAL = Conditions()

_OUTSIDE_NETWORKS = (
    Reason.OUTSIDE_NETWORKS,
    "the policy does not allow this call from the address that it comes from",
)
_OUTSIDE_HOURS = (Reason.OUTSIDE_HOURS, "the policy does not allow this call at this time")
_NO_PURPOSE = (Reason.PURPOSE_REQUIRED, "the policy asks what this is for: name a purpose")
_NOT_ALLOWED_PURPOSE = (
    Reason.PURPOSE_NOT_ALLOWED,
    "the policy does not allow this call for that purpose",
)
_NO_TICKET = (Reason.TICKET_REQUIRED, "the policy asks for a ticket: name one")
_NOT_ALLOWED_TICKET = (
    Reason.TICKET_NOT_ALLOWED,
    "the ticket is not of the form that the policy asks for",
)
_UNASKED_TICKET = (
    Reason.TICKET_NOT_ALLOWED,
    "the policy asks for no ticket here, and so takes none: leave it out",
)
