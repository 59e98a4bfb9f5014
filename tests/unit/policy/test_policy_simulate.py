"""Judging calls by a new policy: what would change, and what there is no telling of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from vault.errors import Reason
from vault.model import Action, Principal
from vault.policy.conditions import CallContext
from vault.policy.reading.load import parse_policy
from vault.policy.simulate import MadeCall, Simulation, Simulator

IDP = "https://idp.example.org"
MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
WHO = Principal("spiffe", "spiffe://example.org/a")
ANN = Principal(IDP, "ann")
HERE = CallContext(time=MONDAY, address=ip_address("10.0.0.1"))
READ = MadeCall(WHO, Action.DETOKENIZE, "card", "full", HERE, allowed=True, roles=("r",))
FULL = "fields: [card], allow: [detokenize], view: full"
APPROVALS = "approvals: [{of: lead}], grant_ttl: 1h"


def simulator(*rules: str, more: str = "", recorded: bool = False) -> Simulator:
    listed = "".join(f"    - {{{rule}}}\n" for rule in rules) or "    - {allow: [read_policy]}\n"
    text = f"""\
version: 1
fields:
  card: {{format: card, min: 15, generator: ff1}}
  ssn: {{format: us_ssn, generator: ff1}}
roles:
  r:
{listed}
  lead: [{{fields: [card], allow: [approve_reveal]}}]
principals:
  - {{spiffe: "spiffe://example.org/a", roles: [r]}}
{more or GROUPS}
"""
    return Simulator(parse_policy(text, "new.yaml"), by_recorded_roles=recorded)


def bound(role: str, claim: str, value: str) -> str:
    jwt = f"issuer: '{IDP}', audience: t, claim: {claim}, value: {value}"
    return f"  - {{jwt: {{{jwt}}}, roles: [{role}]}}\n"


GROUPS = bound("r", "groups", "fraud") + bound("lead", "groups", "leads")


def judged(call: MadeCall, *rules: str) -> tuple[Simulation, str]:
    verdict = simulator(*rules).judge(call)
    return verdict.outcome, verdict.why


def test_what_is_allowed_as_before_is_the_same() -> None:
    assert judged(READ, FULL)[0] is Simulation.SAME
    described = replace(READ, action=Action.DESCRIBE, view="")
    assert judged(described, "fields: ['*'], allow: [describe]")[0] is Simulation.SAME
    policy = replace(READ, action=Action.READ_POLICY, field="", view="")
    assert judged(policy)[0] is Simulation.SAME


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("fields: [ssn], allow: [detokenize], view: full", "DENIED"),
        (f"{FULL}, purposes: [fraud]", "PURPOSE_REQUIRED"),
        (f"{FULL}, ticket: 'F[0-9]'", "TICKET_REQUIRED"),
        (f"{FULL}, networks: [10.1.0.0/16]", "OUTSIDE_NETWORKS"),
        (f"{FULL}, hours: {{days: [sun], from: '08:00', to: '18:00', zone: UTC}}", "OUTSIDE_HOURS"),
    ],
)
def test_what_was_allowed_and_is_no_more_is_refused(rule: str, reason: str) -> None:
    assert judged(READ, rule) == (Simulation.REFUSED, reason)


def test_what_takes_a_grant_from_now_on_is_narrowed() -> None:
    asks = f"fields: [card], allow: [request_reveal, detokenize], view: full, {APPROVALS}"
    narrowed = (Simulation.NARROWED, "with a grant approved by 1 x lead")
    assert judged(READ, asks) == narrowed
    granted = replace(READ, grant=True)
    assert judged(granted, asks)[0] is Simulation.CANNOT_TELL
    asked = replace(READ, action=Action.REQUEST_REVEAL)
    assert judged(asked, asks)[0] is Simulation.SAME


def test_whether_a_call_named_its_view_is_not_recorded() -> None:
    last4 = "fields: [card], allow: [detokenize], view: last4"
    assert judged(READ, last4) == (
        Simulation.CANNOT_TELL,
        "DENIED, or view last4 if the call did not name its view",
    )
    assert judged(READ, FULL, last4)[0] is Simulation.CANNOT_TELL
    assert judged(replace(READ, view="last4"), last4)[0] is Simulation.SAME


def test_what_was_denied_and_is_no_more_is_allowed() -> None:
    denied = replace(READ, allowed=False, reason=Reason.DENIED.value)
    caveat = ", if it named no ticket or unknown purpose"
    assert judged(denied, FULL) == (Simulation.ALLOWED, f"was DENIED{caveat}")
    lookup = replace(denied, action=Action.LOOKUP, view="")
    allowed = judged(lookup, "fields: [card], allow: [lookup]")
    assert allowed == (Simulation.ALLOWED, "was DENIED")
    assert judged(denied)[0] is Simulation.SAME
    assert judged(replace(denied, field=""), FULL)[0] is Simulation.CANNOT_TELL


def test_a_denied_call_may_have_named_what_is_asked_now() -> None:
    denied = replace(READ, allowed=False, reason=Reason.DENIED.value)
    assert judged(denied, f"{FULL}, ticket: 'F[0-9]'")[0] is Simulation.CANNOT_TELL
    without = replace(denied, reason=Reason.TICKET_REQUIRED.value)
    assert judged(without, f"{FULL}, ticket: 'F[0-9]'")[0] is Simulation.SAME
    assert judged(denied, f"{FULL}, purposes: [fraud]")[0] is Simulation.CANNOT_TELL
    without = replace(denied, reason=Reason.PURPOSE_REQUIRED.value)
    assert judged(without, f"{FULL}, purposes: [fraud]")[0] is Simulation.SAME
    barred = "fields: [card], deny: [detokenize]"
    assert judged(denied, f"{FULL}, ticket: 'F[0-9]'", barred)[0] is Simulation.SAME
    away = f"{FULL}, ticket: 'F[0-9]', networks: [10.1.0.0/16]"
    assert judged(denied, away)[0] is Simulation.SAME


@pytest.mark.parametrize("reason", [Reason.BUDGET_EXHAUSTED, Reason.GRANT_EXPIRED])
def test_what_counters_and_grants_refused_is_the_same(reason: Reason) -> None:
    denied = replace(READ, allowed=False, reason=reason.value)
    assert judged(denied, FULL)[0] is Simulation.SAME


def test_an_approval_that_is_asked_for_no_more_is_told() -> None:
    denied = replace(READ, allowed=False, reason=Reason.APPROVAL_REQUIRED.value)
    assert judged(denied, FULL)[0] is Simulation.ALLOWED
    asks = f"fields: [card], allow: [request_reveal, detokenize], view: full, {APPROVALS}"
    assert judged(denied, asks)[0] is Simulation.SAME


def test_of_a_caller_in_groups_there_is_mostly_no_telling() -> None:
    theirs = replace(READ, principal=ANN)
    assert judged(theirs, FULL) == (Simulation.CANNOT_TELL, "the groups of a caller with a JWT")
    # Nobody of that issuer may, whatever groups they are in.
    assert judged(theirs) == (Simulation.REFUSED, "DENIED")
    assert judged(replace(theirs, allowed=False))[0] is Simulation.SAME
    elsewhere = replace(READ, principal=Principal("https://other.example", "ann"))
    assert judged(elsewhere, FULL) == (Simulation.REFUSED, "DENIED")


def test_callers_can_be_judged_by_the_roles_that_were_recorded() -> None:
    made = simulator(FULL, recorded=True)
    theirs = replace(READ, principal=ANN)
    assert made.judge(theirs).outcome is Simulation.SAME
    assert made.judge(replace(theirs, roles=("gone",))).outcome is Simulation.REFUSED
    assert made.judge(READ).outcome is Simulation.SAME  # a certificate has no groups


def test_an_issuer_whose_subjects_alone_count_is_judged() -> None:
    more = bound("r", "sub", "ann") + bound("lead", "sub", "lea") + bound("lead", "sub", "leo")
    made = simulator(FULL, more=more)
    assert made.judge(replace(READ, principal=ANN)).outcome is Simulation.SAME
    other = replace(READ, principal=Principal(IDP, "bob"))
    assert made.judge(other).outcome is Simulation.REFUSED
