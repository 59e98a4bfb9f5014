"""ExplainAccess: what it decides, what it says is missing, who may ask of whom, what it records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from tests.unit.service.conftest import Clock, FixedKeys
from vault.errors import Denied, InvalidRequest, Reason
from vault.model import Action, Caller, Group, Justification, Principal
from vault.policy.explain import Effect
from vault.policy.reading.load import parse_policy
from vault.policy.roles import FIELDLESS
from vault.rpc.methods.access import access_rpcs
from vault.service.access.explain_access import (
    AccessAnswer,
    AccessQuestion,
    AccessService,
    AccessSubject,
)
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.ports import unchanged
from vault.service.tokenization import TokenizationService
from vault.testing.store import MemoryUnitOfWork
from vault.v1 import policy_service_pb2 as pb

IDP = "https://idp.example.org"
POLICY = parse_policy(
    """\
version: 1
purposes: {fraud: A fraud, other: Another}
fields:
  card: {format: {alphabet: digits, min: 8, max: 8}, generator: ff1}
  ssn: {format: us_ssn, generator: ff1}
roles:
  pipeline: [{fields: ["*"], allow: [tokenize]}]
  analyst:
    - {fields: [card], allow: [detokenize], view: full, purposes: [fraud], budget: [{values: 3, per: 1h}, {values: 9, per: 1d}]}
    - {fields: [card], allow: [detokenize], view: masked, networks: [10.1.0.0/16], hours: {days: [mon], from: "08:00", to: "18:00", zone: UTC}}
  asker:
    - {fields: [ssn], allow: [request_reveal, detokenize], view: full, approvals: [{of: lead}], grant_ttl: 1h}
    - {fields: [card], allow: [request_reveal, detokenize], view: full, approvals: [{of: lead}], grant_ttl: 1h,
       break_glass: {grant_ttl: 15m, budget: {values: 2, per: 1d}, review: {of: lead}}}
  lead: [{fields: [ssn, card], allow: [approve_reveal]}]
  barred: [{fields: [card], deny: [detokenize]}]
  auditor: [{allow: [explain_others]}]
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/analyst", roles: [analyst]}
  - {spiffe: "spiffe://example.org/asker", roles: [asker]}
  - {spiffe: "spiffe://example.org/barred", roles: [analyst, barred]}
  - {spiffe: "spiffe://example.org/auditor", roles: [auditor]}
  - {jwt: {issuer: "https://idp.example.org", audience: t, claim: groups, value: leads}, roles: [lead]}
  - {jwt: {issuer: "https://idp.example.org", audience: t, claim: groups, value: askers}, roles: [asker]}
""",  # noqa: E501
    "policy.yaml",
)
MONDAY, SUNDAY = (datetime(2026, 11, day, 12, tzinfo=UTC) for day in (23, 22))
FULL = AccessQuestion("detokenize", "card", "full")
FRAUD = Justification("fraud")


def spiffe(name: str) -> Principal:
    return Principal("spiffe", f"spiffe://example.org/{name}")


def named(name: str) -> AccessSubject:
    return AccessSubject("spiffe", f"spiffe://example.org/{name}")


@dataclass
class Harness:
    work: MemoryUnitOfWork = field(default_factory=lambda: MemoryUnitOfWork(Clock()))

    def __post_init__(self) -> None:
        keys = FixedKeys()
        self.budgets = Budgets(keys)
        admission = Admission(self.work, self.budgets)
        self.tokens = TokenizationService(admission, keys)
        self.access = AccessService(admission, self.budgets, lambda: MONDAY)

    def call(self, name: str, rpc: str = "ExplainAccess") -> Call:
        address = ip_address("10.2.0.1")
        return Call(rpc, Caller(spiffe(name), "p", "c", "r", address=address), POLICY)

    def ask(self, name: str, question: AccessQuestion) -> AccessAnswer:
        return self.access.explain(self.call(name), question)

    def read(self, count: int) -> None:
        made = self.tokens.tokenize(
            self.call("pipeline"), "card", [f"{at:08}" for at in range(count)], "", unchanged
        )
        call = self.call("analyst", "Detokenize")
        shown = self.tokens.detokenize(call, "card", made.values, "full", unchanged, FRAUD)
        assert not shown.failures


@pytest.fixture
def harness() -> Harness:
    return Harness()


def missing(answer: AccessAnswer) -> list[tuple[str, list[Reason]]]:
    return [
        (each.path, [gap.reason for gap in each.missing]) for each in answer.explanation.entries
    ]


def test_an_own_access_says_which_rule_decides(harness: Harness) -> None:
    answer = harness.ask("analyst", replace(FULL, justification=FRAUD))
    assert (answer.reason, answer.message, answer.view) == (None, "", "full")
    assert answer.policy_digest == POLICY.digest
    decides = [each.path for each in answer.explanation.entries if each.decides]
    assert decides == ["roles.analyst[0]"]
    assert [(each.view, each.quota.values, each.left) for each in answer.budgets] == [
        ("full", 3, 3),
        ("full", 9, 9),
    ]
    event = harness.work.events[-1]
    assert (event.rpc, event.outcome, event.subject) == ("ExplainAccess", "allowed", "")
    assert (event.field, event.view, event.purpose) == ("card", "full", "fraud")


def test_all_that_is_missing_is_named_rule_by_rule(harness: Harness) -> None:
    answer = harness.ask("analyst", replace(FULL, view="masked"))
    assert answer.reason is Reason.PURPOSE_REQUIRED
    assert missing(answer) == [
        ("roles.analyst[0]", [Reason.PURPOSE_REQUIRED]),
        ("roles.analyst[1]", [Reason.OUTSIDE_NETWORKS]),
    ]
    assert not any(each.decides for each in answer.explanation.entries)
    full = harness.ask("analyst", FULL)
    assert missing(full)[1] == ("roles.analyst[1]", [Reason.DENIED, Reason.OUTSIDE_NETWORKS])


def test_nobody_learns_of_networks_that_they_are_not_in(harness: Harness) -> None:
    own = harness.ask("analyst", FULL)
    assert not any("10.1." in each.says for each in own.explanation.entries)
    others = harness.ask("auditor", replace(FULL, subject=named("analyst")))
    assert any("10.1.0.0/16" in each.says for each in others.explanation.entries)


def test_a_budget_that_is_used_up_is_missing(harness: Harness) -> None:
    harness.read(2)
    answer = harness.ask("analyst", replace(FULL, justification=FRAUD))
    assert (answer.reason, [each.left for each in answer.budgets]) == (None, [1, 7])
    harness.read(1)
    answer = harness.ask("analyst", replace(FULL, justification=FRAUD))
    assert (answer.reason, [each.left for each in answer.budgets]) == (
        Reason.BUDGET_EXHAUSTED,
        [0, 6],
    )
    # Asking has charged nothing.
    assert next(iter(harness.work._tables.budgets.values())).total == 3


def test_a_counter_that_was_forged_is_told_of(harness: Harness) -> None:
    harness.read(1)
    ((key, counter),) = harness.work._tables.budgets.items()
    harness.work._tables.budgets[key] = replace(counter, total=0)
    answer = harness.ask("analyst", replace(FULL, justification=FRAUD))
    assert (answer.reason, answer.budgets) == (Reason.BUDGET_INVALID, ())


def test_an_approval_is_missing_until_there_is_a_grant(harness: Harness) -> None:
    answer = harness.ask("asker", AccessQuestion("detokenize", "ssn"))
    assert answer.reason is Reason.APPROVAL_REQUIRED
    assert answer.message == "it takes a grant, approved by 1 x lead"
    assert harness.ask("asker", AccessQuestion("request_reveal", "ssn")).reason is None


def test_a_grant_that_an_emergency_gives_at_once_is_told_of(harness: Harness) -> None:
    answer = harness.ask("asker", AccessQuestion("detokenize", "card"))
    assert answer.reason is Reason.APPROVAL_REQUIRED
    assert answer.message == (
        "it takes a grant, approved by 1 x lead; "
        "in an emergency, one is given at once (break_glass)"
    )
    (entry,) = answer.explanation.entries
    assert "break_glass 2 per 1d, for 15m, reviewed by 1 x lead" in entry.says


def test_a_deny_decides(harness: Harness) -> None:
    answer = harness.ask("barred", replace(FULL, justification=FRAUD))
    assert answer.reason is Reason.DENIED
    decides = [each.effect for each in answer.explanation.entries if each.decides]
    assert decides == [Effect.DENIES]


def test_others_access_takes_the_permission(harness: Harness) -> None:
    ask = replace(FULL, subject=named("analyst"), justification=FRAUD)
    with pytest.raises(Denied) as caught:
        harness.ask("analyst", ask)  # oneself, named: as anybody else
    assert caught.value.reason is Reason.DENIED
    event = harness.work.events[-1]
    assert (event.outcome, event.subject) == ("denied", "spiffe://example.org/analyst")
    assert harness.ask("auditor", ask).reason is None
    event = harness.work.events[-1]
    assert (event.outcome, event.subject) == ("allowed", "spiffe://example.org/analyst")
    assert event.roles == ("auditor",)


def test_others_are_asked_about_at_a_time_and_from_an_address(harness: Harness) -> None:
    ask = AccessQuestion("detokenize", "card", "masked", named("analyst"), address="10.1.2.3")
    assert harness.ask("auditor", ask).reason is None
    late, elsewhere = replace(ask, time=int(SUNDAY.timestamp())), replace(ask, address="")
    for changed, reason in ((late, Reason.OUTSIDE_HOURS), (elsewhere, Reason.OUTSIDE_NETWORKS)):
        assert missing(harness.ask("auditor", changed))[1] == ("roles.analyst[1]", [reason])
    for own in (replace(FULL, time=0), replace(FULL, address="10.1.2.3")):
        with pytest.raises(Denied):
            harness.ask("analyst", own)
        assert harness.work.events[-1].outcome == "denied"


def test_groups_are_those_that_the_question_names(harness: Harness) -> None:
    lead = AccessSubject("jwt", f"{IDP}#lea", (Group(IDP, "t", "groups", "leads"),))
    ask = AccessQuestion("approve_reveal", "ssn", subject=lead)
    assert harness.ask("auditor", ask).reason is None
    assert harness.work.events[-1].subject == f"{IDP}#lea"
    without = harness.ask("auditor", replace(ask, subject=replace(lead, groups=())))
    assert without.reason is Reason.DENIED
    assert without.explanation.unknown


def test_nothing_that_the_policy_does_not_know_is_recorded(harness: Harness) -> None:
    card = "4929309216280011"
    ids = (f"https://other.example#{card}", f"{IDP}#ä", f"{IDP}#a\nb")
    for subject in (named(card), *(AccessSubject("jwt", each) for each in ids)):
        ask = AccessQuestion(
            "detokenize", "4929309216280011", "4929", subject, Justification("4929", "4929")
        )
        harness.ask("auditor", ask)
        event = harness.work.events[-1]
        assert (event.subject, event.field, event.view) == ("unknown", "", "")
        assert (event.purpose, event.ticket) == ("", "")


@pytest.mark.parametrize(
    "ask",
    [
        AccessQuestion("fly", "card"),
        AccessQuestion("read_audit", "card"),
        AccessQuestion("detokenize", "card", address="somewhere"),
        AccessQuestion("detokenize", "card", time=10**18),
        AccessQuestion("detokenize", "card", resource="table"),
    ],
)
def test_a_malformed_question_is_refused_and_recorded(
    harness: Harness, ask: AccessQuestion
) -> None:
    with pytest.raises(InvalidRequest):
        harness.ask("auditor", replace(ask, subject=named("analyst")))
    assert harness.work.events[-1].outcome == "failed"


def test_who_has_no_role_is_told_nothing(harness: Harness) -> None:
    with pytest.raises(Denied):
        harness.ask("stranger", FULL)
    assert harness.work.events[-1].outcome == "denied"


def over_the_wire(harness: Harness, ask: pb.ExplainAccessRequest) -> pb.ExplainAccessResponse:
    (row,) = access_rpcs(harness.access)
    answer = row.bind(ask.SerializeToString()).run(harness.call("auditor"))
    return pb.ExplainAccessResponse.FromString(answer.encoded)


def test_the_wire_has_it_all(harness: Harness) -> None:
    ask = pb.ExplainAccessRequest(
        subject=pb.AccessSubject(type="spiffe", id="spiffe://example.org/analyst"),
        action=pb.AccessAction(name="detokenize", view="full"),
        resource=pb.AccessResource(type="field", id="card"),
        context=pb.AccessContext(purpose="fraud", ticket="T-1"),
    )
    answer = over_the_wire(harness, ask)
    assert not answer.decision
    assert answer.context.reason == "TICKET_NOT_ALLOWED"
    assert [(each.path, each.decides) for each in answer.context.rules] == [
        ("roles.analyst[0]", False),
        ("roles.analyst[1]", False),
    ]
    assert answer.context.rules[0].missing[0].reason == "TICKET_NOT_ALLOWED"
    ask.context.ticket = ""
    answer = over_the_wire(harness, ask)
    assert answer.decision
    assert [(each.per, each.values, each.left) for each in answer.context.budgets] == [
        ("1h", 3, 3),
        ("1d", 9, 9),
    ]


@pytest.mark.parametrize(
    "subject",
    [
        pb.AccessSubject(type="user", id="ann"),
        pb.AccessSubject(type="jwt", id="ann"),
        pb.AccessSubject(type="spiffe", id="x", groups=[pb.AccessGroup()]),
        pb.AccessSubject(type="jwt", id="i#s", groups=[pb.AccessGroup()] * 201),
        pb.AccessSubject(type="jwt", id=f"{IDP}#{'x' * 512}"),
        pb.AccessSubject(type="jwt", id=f"{IDP}#a\0b"),
        pb.AccessSubject(type="jwt", id="i#s", groups=[pb.AccessGroup(value="x" * 513)]),
    ],
)
def test_a_subject_that_is_none_is_refused(harness: Harness, subject: pb.AccessSubject) -> None:
    with pytest.raises(InvalidRequest):
        over_the_wire(harness, pb.ExplainAccessRequest(subject=subject))
    event = harness.work.events[-1]
    assert (event.outcome, event.subject) == ("failed", "unknown")


def test_every_action_can_be_asked_about(harness: Harness) -> None:
    for action in Action:
        name = "" if action in FIELDLESS else "card"
        assert harness.ask("pipeline", AccessQuestion(action.value, name)) is not None
