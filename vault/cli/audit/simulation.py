"""``tokenvault policy simulate``: the audit's calls, judged by a new policy, and added up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from vault.cli.audit.bodies import read_body, text_of
from vault.cli.printable import one_line
from vault.v1.audit_service_pb2 import AuditRecord
from vault.v1.reveal_service_pb2 import DESCRIPTOR

if TYPE_CHECKING:
    from vault.model import Action
    from vault.policy.simulate import MadeCall, Simulator, Verdict

__all__ = ["Tally", "Use", "simulation_json", "simulation_lines"]

_MAX_USES = 10_000
_EXAMPLES = 3
_LISTED = 50  # of an outcome, for people
_SAME = "same"
_UNJUDGED = "what a step of a reveal takes"
# What these need hangs on the reveal that they name.
_STEPS = frozenset(
    method.name
    for method in DESCRIPTOR.services_by_name["RevealService"].methods
    if method.name != "RequestReveal"
)
_EXPLAINS = "ExplainAccess"
_TITLES = {
    "refused": "would be refused",
    "narrowed": "would be allowed only",
    "allowed": "would be allowed, and was not",
    "cannot_tell": "cannot tell",
}


@dataclass(frozen=True, slots=True)
class Use:
    """Calls that are alike, and what would become of them."""

    outcome: str
    why: str
    principal: str
    rpc: str
    field: str
    purpose: str
    view: str


@dataclass(slots=True)
class Count:
    """How many there were, how many values they were about, and the first ones' positions."""

    calls: int = 0
    values: int = 0
    positions: list[int] = field(default_factory=list)

    def add(self, values: int, position: int) -> None:
        """Adds a call."""
        self.calls += 1
        self.values += values
        if len(self.positions) < _EXAMPLES:
            self.positions.append(position)


class Tally:
    """Judges records and adds them up, in memory that is bounded.

    Attributes:
        same: calls of which nothing would change.
        unreadable: records that are missing or were edited.
        pruned: records whose time was over: nobody can tell what they were of.
    """

    def __init__(self, simulator: Simulator, actions: Mapping[str, Action]) -> None:
        """Takes what judges, and the action of each RPC by its short name."""
        self._simulator = simulator
        self._actions = actions
        self.uses: dict[Use, Count] = {}
        self.same = 0
        self.unreadable = 0
        self.pruned = 0

    def feed(self, record: AuditRecord) -> None:
        """Takes a record; those of no call of the policy's are left out."""
        body = read_body(record)
        if record.pruned:
            self.pruned += 1
        elif body is None:
            self.unreadable += 1
        elif body.get("kind") == "call" and body.get("rpc") in self._actions:
            if body["rpc"] != _EXPLAINS:
                self._count(body, record.position)
            elif body.get("subject"):  # of oneself everybody may ask who has a role
                self._count({**body, "field": "", "view": ""}, record.position)

    def _count(self, body: Mapping[str, object], position: int) -> None:
        outcome, why = self._judged(body)
        if outcome == _SAME:
            self.same += 1
            return
        who, rpc, field_name = (text_of(body, name) for name in ("principal", "rpc", "field"))
        use = Use(
            outcome,
            why,
            who,
            rpc,
            field_name,
            text_of(body, "purpose"),
            text_of(body, "view"),
        )
        if use not in self.uses and len(self.uses) >= _MAX_USES:
            use = Use(outcome, "", "(others)", "", "", "", "")
        self.uses.setdefault(use, Count()).add(_values(body), position)

    def _judged(self, body: Mapping[str, object]) -> tuple[str, str]:
        rpc = text_of(body, "rpc")
        if rpc in _STEPS:
            return "cannot_tell", _UNJUDGED
        made = _made_call(body, self._actions[rpc])
        if made is None:
            return "cannot_tell", "who called"
        verdict: Verdict = self._simulator.judge(made)
        return verdict.outcome.value, verdict.why

    @property
    def changes(self) -> bool:
        """Whether anything would change, or there is no telling."""
        return bool(self.uses)

    def of(self, outcome: str) -> list[tuple[Use, Count]]:
        """Returns the uses of an outcome, most calls first."""
        found = [(use, count) for use, count in self.uses.items() if use.outcome == outcome]
        return sorted(found, key=lambda each: (-each[1].calls, str(each[0])))


def simulation_lines(tally: Tally) -> Iterator[str]:
    """Yields what would change for people: by outcome, most calls first."""
    for outcome, title in _TITLES.items():
        found = tally.of(outcome)
        if not found:
            continue
        calls, values = (sum(getattr(c, name) for _, c in found) for name in ("calls", "values"))
        yield f"{title}: {calls:,} calls, {values:,} values"
        for use, count in found[:_LISTED]:
            yield one_line(f"  {_use_text(use)}: {use.why}: {_count_text(count)}")
        if len(found) > _LISTED:
            yield f"  and {len(found) - _LISTED:,} more kinds of calls (--json has them)"
    yield f"unchanged: {tally.same:,} calls"
    if tally.pruned:
        yield f"{tally.pruned:,} older records were pruned, and are not judged"
    yield "budgets, limits and freezes are not replayed"


def _use_text(use: Use) -> str:
    view = f" in view {use.view}" if use.view else ""
    purpose = f" for {use.purpose}" if use.purpose else ""
    return f"{use.principal} {use.rpc} {use.field}".rstrip() + view + purpose


def _count_text(count: Count) -> str:
    positions = ", ".join(map(str, count.positions))
    return f"{count.calls:,} calls, {count.values:,} values; records {positions}"


def simulation_json(tally: Tally, digest: str) -> str:
    """Returns all of it as one line."""
    document: dict[str, object] = {"policy": digest, "same": tally.same}
    document["unreadable"] = tally.unreadable
    document["pruned"] = tally.pruned
    for outcome in _TITLES:
        document[outcome] = [
            {
                "principal": use.principal,
                "rpc": use.rpc,
                "field": use.field,
                "view": use.view,
                "purpose": use.purpose,
                "why": use.why,
                "calls": count.calls,
                "values": count.values,
                "records": count.positions,
            }
            for use, count in tally.of(outcome)
        ]
    return json.dumps(document, separators=(",", ":"))


def _made_call(body: Mapping[str, object], action: Action) -> MadeCall | None:
    from vault.model import Principal
    from vault.policy.conditions import CallContext
    from vault.policy.simulate import MadeCall
    from vault.rpc.peers import network_address

    name, outcome = text_of(body, "principal"), text_of(body, "outcome")
    issuer, _, subject = name.rpartition("#")
    spiffe = name.startswith("spiffe://")
    if not (spiffe or issuer) or outcome not in ("allowed", "denied", "failed"):
        return None
    try:
        time = datetime.fromisoformat(text_of(body, "time"))
    except ValueError:
        return None
    roles = body.get("roles")
    address = network_address(text_of(body, "peer"))
    return MadeCall(
        principal=Principal("spiffe", name) if spiffe else Principal(issuer, subject),
        action=action,
        field=text_of(body, "field"),
        view=text_of(body, "view"),
        context=CallContext(text_of(body, "purpose"), text_of(body, "ticket"), time, address),
        allowed=outcome != "denied",
        reason=text_of(body, "reason"),
        grant=bool(text_of(body, "grant")),
        roles=tuple(map(str, roles)) if isinstance(roles, list) else (),
    )


def _values(body: Mapping[str, object]) -> int:
    counts = body.get("counts")
    found = counts.get("ok", 0) if isinstance(counts, dict) else 0
    # What an auditor reads are records, and no values.
    counts_values = text_of(body, "outcome") == "allowed" and bool(text_of(body, "field"))
    return found if isinstance(found, int) and counts_values else 0
