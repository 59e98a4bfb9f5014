"""Requests, approvals and uses in all orders, through the use cases, against the requirement.

The model knows what is wrong with a step, each fault with its own reason, and not in which order
the service looks: a step with faults must be refused for one of them, and change nothing; one
without must be done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.service.reveal.test_reveal_service import CARDS, PURPOSE, TEXT, Harness, caller
from vault.errors import Reason, RequestError
from vault.policy.reading.load import parse_policy
from vault.service.reveal.request import RevealRequest

ASKED = "[{of: lead, not_same_group: true}]"
POLICIES = {
    "as requested": parse_policy(TEXT, "policy.yaml"),
    "another approver more": parse_policy(
        TEXT.replace(ASKED, "[{of: lead}, {of: officer}]"), "policy.yaml"
    ),
    "a shorter grant": parse_policy(
        TEXT.replace(f"{ASKED}, grant_ttl: 1h", f"{ASKED}, grant_ttl: 10m"), "policy.yaml"
    ),
}
OPEN_FOR = timedelta(days=7)
PEOPLE = {
    "analyst": caller("ann", "fraud"),
    "analyst without the role": caller("ann"),
    "analyst's second identity": caller("ann", "fraud", "leads", subject="ann-2"),
    "another analyst": caller("eve", "fraud"),
    "lead": caller("lea", "leads"),
    "lead of the analyst's group": caller("ina", "leads", "fraud"),
    "officer": caller("olaf", "officers"),
    "nobody": caller("nob"),
}
SOME = st.frozensets(st.integers(0, 2), min_size=1)
WHICH = st.sampled_from([0, 0, 0, 0, 1, 2])  # mostly the newest
WHO = st.sampled_from(["lead", "lead", "lead", *sorted(PEOPLE)])


@dataclass
class Asked:
    """A request as the requirement has it."""

    id: str
    tokens: Set[int]
    times: int
    ends: datetime
    state: str = "open"
    shown: Counter[int] = field(default_factory=Counter)

    def at(self, now: datetime) -> str:
        if self.state == "granted" and not self.left:
            return "exhausted"
        return "expired" if self.state in ("open", "granted") and now >= self.ends else self.state

    @property
    def left(self) -> int:
        return len(self.tokens) * self.times - self.shown.total()


class Orders(RuleBasedStateMachine):
    """One analyst's requests; whoever else there is tries everything too."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness(POLICIES["as requested"])
        self.begun = datetime.now().astimezone()
        self.policy = "as requested"
        self.asked: list[Asked] = []

    @property
    def now(self) -> datetime:
        return self.begun + self.harness.clock.ahead

    def attempt(self, step: Callable[[], object], faults: Collection[Reason]) -> bool:
        """Takes a step; returns whether it was done."""
        try:
            step()
        except RequestError as error:
            assert error.reason in faults, (error.reason, faults)
            return False
        assert not faults, faults
        return True

    # -- what may happen ------------------------------------------------------------------

    @rule(minutes=st.sampled_from([1, 1, 1, 5, 15, 90, 8 * 24 * 60]))
    def wait(self, minutes: int) -> None:
        self.harness.clock.ahead += timedelta(minutes=minutes)

    @rule(policy=st.sampled_from(["as requested", "as requested", *sorted(POLICIES)]))
    def change_policy(self, policy: str) -> None:
        self.policy, self.harness.policy = policy, POLICIES[policy]

    @precondition(lambda self: self.policy == "as requested" and not self.is_any_live())
    @rule(tokens=SOME, times=st.integers(1, 2))
    def request(self, tokens: Set[int], times: int) -> None:
        cards = [self.harness.cards[at] for at in sorted(tokens)]
        ask = RevealRequest("card", "full", PURPOSE, "a case", cards, times=times)
        made = self.harness.asking.request(
            self.harness.call("RequestReveal", PEOPLE["analyst"]), ask
        )
        self.asked.append(Asked(str(made.reveal.id), tokens, times, self.now + OPEN_FOR))

    def is_any_live(self) -> bool:
        states = [each.at(self.now) for each in self.asked]
        return "open" in states or "granted" in states

    @precondition(lambda self: self.asked and self.policy == "as requested")
    @rule(which=WHICH, who=WHO)
    def approve(self, which: int, who: str) -> None:
        asked = self.asked[-1 - which % len(self.asked)]
        faults = self.why_not_decide(asked, who)
        call = self.harness.call("ApproveReveal", PEOPLE[who])
        if self.attempt(lambda: self.harness.reveals.approve(call, asked.id, ""), faults):
            asked.state, asked.ends = "granted", self.now + timedelta(hours=1)

    @precondition(lambda self: self.asked and self.policy == "as requested")
    @rule(which=WHICH, who=st.sampled_from(sorted(PEOPLE)))
    def deny(self, which: int, who: str) -> None:
        asked = self.asked[-1 - which % len(self.asked)]
        faults = self.why_not_decide(asked, who)
        call = self.harness.call("DenyReveal", PEOPLE[who])
        if self.attempt(lambda: self.harness.reveals.deny(call, asked.id, "no"), faults):
            asked.state = "denied"

    def why_not_decide(self, asked: Asked, who: str) -> set[Reason]:
        faults = set()
        if asked.at(self.now) != "open":
            faults.add(Reason.REVEAL_CLOSED)
        if who == "analyst's second identity":
            faults.add(Reason.SELF_APPROVAL)
        if who in ("lead of the analyst's group", "analyst's second identity"):
            faults.add(Reason.SAME_GROUP)
        if who == "officer":
            faults.add(Reason.REVEAL_NOT_FOUND)
        if who in ("analyst", "another analyst", "analyst without the role", "nobody"):
            faults.add(Reason.DENIED)
        return faults

    @precondition(lambda self: self.asked)
    @rule(which=WHICH)
    def revoke(self, which: int) -> None:
        asked = self.asked[-1 - which % len(self.asked)]
        faults = set() if asked.at(self.now) == "granted" else {Reason.REVEAL_CLOSED}
        call = self.harness.call("RevokeReveal", PEOPLE["lead"])
        if self.attempt(lambda: self.harness.reveals.revoke(call, asked.id, ""), faults):
            asked.state = "revoked"

    @precondition(lambda self: self.asked and self.asked[-1].at(self.now) == "granted")
    @rule(tokens=SOME)
    def use(self, tokens: Set[int]) -> None:
        """Reads as the grant says, and more than it has left at times."""
        self.read(0, tokens & self.asked[-1].tokens or tokens, "analyst", "full", "fraud_case")

    @precondition(lambda self: self.asked)
    @rule(
        which=WHICH,
        tokens=SOME,
        who=st.sampled_from(["analyst", *sorted(PEOPLE)]),
        view=st.sampled_from(["full", "full", "few", "last4"]),
        purpose=st.sampled_from(["fraud_case", "fraud_case", "chargeback"]),
    )
    def read_anyhow(self, which: int, tokens: Set[int], who: str, view: str, purpose: str) -> None:
        self.read(which, tokens, who, view, purpose)

    def read(self, which: int, tokens: Set[int], who: str, view: str, purpose: str) -> None:
        asked = self.asked[-1 - which % len(self.asked)]
        faults = self.why_not_read(asked, tokens, who)
        if view != "full" or purpose != "fraud_case":
            faults.add(Reason.GRANT_INVALID)
        if view == "last4" and purpose != "fraud_case":
            faults.add(Reason.PURPOSE_NOT_ALLOWED)
        cards = [self.harness.cards[at] for at in sorted(tokens)]
        answered: list[object] = []

        def step() -> None:
            answer = self.harness.read(asked.id, cards, PEOPLE[who], view, purpose)
            answered.extend(answer.values)

        if self.attempt(step, faults):
            assert answered == [CARDS[at] for at in sorted(tokens)]
            asked.shown.update(tokens)

    def why_not_read(self, asked: Asked, tokens: Set[int], who: str) -> set[Reason]:
        faults = set()
        if self.now >= asked.ends and asked.state == "granted":
            faults.add(Reason.GRANT_EXPIRED)
        if asked.state == "revoked":
            faults.add(Reason.GRANT_REVOKED)
        elif asked.state != "granted":
            faults.add(Reason.GRANT_INVALID)
        if not asked.left or any(asked.shown[at] >= asked.times for at in tokens):
            faults.add(Reason.GRANT_EXHAUSTED)
        if not tokens <= asked.tokens or who != "analyst":
            faults.add(Reason.GRANT_INVALID)
        if who in ("analyst without the role", "nobody", "lead", "officer"):
            faults.add(Reason.DENIED)
        if self.policy == "another approver more":
            faults.add(Reason.GRANT_INVALID)
        granted = asked.ends - timedelta(hours=1)
        if self.policy == "a shorter grant" and self.now >= granted + timedelta(minutes=10):
            faults.add(Reason.GRANT_EXPIRED)
        return faults

    # -- what holds whatever happened -----------------------------------------------------

    @invariant()
    def is_charged_what_was_shown(self) -> None:
        charged = Counter[str]()
        for event in self.harness.work.events:
            charged[event.grant] += event.charged
        for asked in self.asked:
            assert charged[asked.id] == asked.shown.total()

    @invariant()
    def says_where_it_stands(self) -> None:
        for asked in self.asked:
            call = self.harness.call("GetReveal", PEOPLE["analyst"])
            assert self.harness.reveals.get(call, asked.id).state == asked.at(self.now)


TestOrders = Orders.TestCase
