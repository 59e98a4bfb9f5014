"""Reveals over a store in memory: who may ask, decide and read, and what each call records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.unit.service.conftest import Clock, FixedKeys
from vault.errors import Denied, InvalidRequest, Reason, RequestError
from vault.model import Caller, Group, Justification, Person, Principal
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.encryption import EncryptionService
from vault.service.ports import unchanged
from vault.service.results import ColumnResult
from vault.service.reveal.asking import RequestService
from vault.service.reveal.model import State
from vault.service.reveal.request import RevealRequest
from vault.service.reveal.reveals import RevealService
from vault.service.reveal.status import RevealStatus
from vault.service.tokenization import TokenizationService
from vault.testing.store import MemoryUnitOfWork

ISSUER = "https://idp.example.org"
TEXT = """\
version: 1
purposes: {fraud_case: A fraud, chargeback: A dispute}
fields:
  card: {format: card, min: 15, generator: ff1, views: {few: {show_last: 2}}}
  account: {format: {alphabet: digits, min: 10, max: 20}, generator: ff1, storage: vaultless}
roles:
  pipeline: [{fields: ["*"], allow: [tokenize]}]
  analyst:
    - {fields: [card, account], allow: [request_reveal, detokenize], view: full, purposes: [fraud_case, chargeback], approvals: [{of: lead, not_same_group: true}], grant_ttl: 1h}
    - {fields: [card], allow: [detokenize], view: last4}
  archivist:
    - {fields: [card], allow: [encrypt]}
    - {fields: [card], allow: [request_reveal, decrypt], view: full, approvals: [{of: lead}], grant_ttl: 1h}
  lead: [{fields: ["*"], allow: [approve_reveal]}]
  officer: [{fields: ["*"], allow: [approve_reveal]}]
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/analyst", roles: [analyst]}
  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: groups, value: fraud}, roles: [analyst]}
  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: groups, value: cases}, roles: [analyst]}
  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: groups, value: leads}, roles: [lead]}
  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: groups, value: scans}, roles: [archivist]}
  - {jwt: {issuer: "https://idp.example.org", audience: v, claim: groups, value: officers}, roles: [officer]}
"""  # noqa: E501
CARDS = ["4929309216280011", "4539578763621486", "4716258050958645"]
UNKNOWN = "there is no such grant of yours"
PURPOSE = Justification("fraud_case")


def caller(name: str, *groups: str, subject: str = "") -> Caller:
    held = frozenset(Group(ISSUER, "v", "groups", group) for group in groups)
    return Caller(
        Principal(ISSUER, subject or name, held),
        peer="ipv4:127.0.0.1",
        credential="c",
        request_id="r",
        person=Person(ISSUER, "email", name),
    )


ANALYST, LEAD = caller("ann", "fraud"), caller("lea", "leads")
OFFICER = caller("olaf", "officers")


@dataclass
class Harness:
    policy: Policy = field(default_factory=lambda: parse_policy(TEXT, "policy.yaml"))
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.work = MemoryUnitOfWork(self.clock)
        self.keys = FixedKeys()
        self.admission = Admission(self.work, Budgets(self.keys))
        self.tokens = TokenizationService(self.admission, self.keys)
        self.asking = RequestService(self.admission, self.keys)
        self.reveals = RevealService(self.admission, self.keys)
        self.encryption = EncryptionService(self.admission, self.keys)
        who = Caller(Principal("spiffe", "spiffe://example.org/pipeline"), "p", "c", "r")
        call = Call("Tokenize", who, self.policy)
        self.cards = self.tokens.tokenize(call, "card", CARDS, "", unchanged).values
        self.account = self.tokens.tokenize(call, "account", ["1234567890"], "", unchanged).values

    def call(self, rpc: str, who: Caller) -> Call:
        return Call(rpc, who, self.policy)

    def request(
        self, tokens: Sequence[str] | None = None, who: Caller = ANALYST, **changes: object
    ) -> RevealStatus:
        ask = RevealRequest(
            "card", "full", PURPOSE, "a case", self.cards if tokens is None else tokens
        )
        return self.asking.request(self.call("RequestReveal", who), replace(ask, **changes))  # type: ignore[arg-type]

    def approve(self, made: RevealStatus, who: Caller = LEAD) -> RevealStatus:
        return self.reveals.approve(self.call("ApproveReveal", who), str(made.reveal.id), "ok")

    def granted(self, **changes: object) -> str:
        made = self.approve(self.request(**changes))  # type: ignore[arg-type]
        assert made.state is State.GRANTED
        return str(made.reveal.id)

    def read(
        self,
        grant: str,
        tokens: Sequence[str] | None = None,
        who: Caller = ANALYST,
        view: str = "full",
        purpose: str = "fraud_case",
        name: str = "card",
    ) -> ColumnResult:
        call = self.call("Detokenize", who)
        asked = self.cards if tokens is None else tokens
        justification = Justification(purpose, grant=grant)
        return self.tokens.detokenize(call, name, asked, view, unchanged, justification)

    def change_policy(self, old: str, new: str) -> None:
        assert old in self.policy.document
        self.policy = parse_policy(self.policy.document.replace(old, new), "policy.yaml")


@pytest.fixture
def harness() -> Harness:
    return Harness()


def refusal(step: Callable[[], object]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        step()
    return caught.value


def test_request_approve_read_exhaust(harness: Harness) -> None:
    assert refusal(lambda: harness.read("")).reason is Reason.APPROVAL_REQUIRED
    grant = harness.granted()
    assert harness.read(grant, harness.cards[:1]).values == CARDS[:1]
    assert harness.read(grant, [harness.cards[2], harness.cards[1]]).values == [CARDS[2], CARDS[1]]
    assert refusal(lambda: harness.read(grant)).reason is Reason.GRANT_EXHAUSTED
    kinds = [(each.rpc, each.outcome, each.grant, each.charged) for each in harness.work.events]
    assert kinds == [
        ("Tokenize", "allowed", "", 0),
        ("Tokenize", "allowed", "", 0),
        ("Detokenize", "denied", "", 0),
        ("RequestReveal", "allowed", grant, 0),
        ("ApproveReveal", "allowed", grant, 0),
        ("Detokenize", "allowed", grant, 1),
        ("Detokenize", "allowed", grant, 2),
        ("Detokenize", "denied", grant, 0),
    ]


def test_a_refused_call_charges_nothing(harness: Harness) -> None:
    grant = harness.granted(tokens=harness.cards[:2])
    error = refusal(lambda: harness.read(grant))
    assert (error.reason, error.message) == (
        Reason.GRANT_INVALID,
        "the grant is not for all of these tokens",
    )
    harness.read(grant, harness.cards[:1])
    again = refusal(lambda: harness.read(grant, harness.cards[:2]))
    assert again.reason is Reason.GRANT_EXHAUSTED
    assert harness.read(grant, harness.cards[1:2]).values == [CARDS[1]]


def test_each_token_is_shown_as_often_as_the_request_says(harness: Harness) -> None:
    grant = harness.granted(tokens=harness.cards[:1], times=2)
    twice = [harness.cards[0]] * 2
    assert harness.read(grant, twice).values == [CARDS[0]] * 2  # one answer, one showing
    harness.read(grant, twice)
    assert refusal(lambda: harness.read(grant, twice)).reason is Reason.GRANT_EXHAUSTED


def test_tokens_that_are_written_or_asked_for_otherwise_are_the_grants(harness: Harness) -> None:
    grant = harness.granted(times=4)
    first = harness.cards[0]
    spaced = " ".join(first[at : at + 4] for at in range(0, 16, 4))
    assert harness.read(grant, [first]).values == CARDS[:1]
    # The grant is known from here on: what is asked for is looked up before its lock.
    assert harness.read(grant, [first, first]).values == [CARDS[0]] * 2
    written = harness.read(grant, [spaced])
    assert written.values[0].replace(" ", "") == CARDS[0]
    assert harness.read(grant, [first, "x" * 100_000, "nothing"]).values == [CARDS[0], "", ""]
    assert refusal(lambda: harness.read(grant, [first])).reason is Reason.GRANT_EXHAUSTED
    assert [each.charged for each in harness.work.events][-5:] == [1, 1, 1, 1, 0]
    # Another tenant's caller knows no more of it than of any other.
    other = replace(ANALYST, tenant="another")
    assert refusal(lambda: harness.read(grant, who=other)).message == UNKNOWN


def test_vaultless_fields_have_grants_too(harness: Harness) -> None:
    made = harness.approve(harness.request(harness.account, field="account"))
    grant = str(made.reveal.id)
    assert harness.read(grant, harness.account, name="account").values == ["1234567890"]
    error = refusal(lambda: harness.read(grant, ["9999999999"], name="account"))
    assert error.reason is Reason.GRANT_EXHAUSTED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"who": caller("eve", "fraud")}, "there is no such grant of yours"),
        ({"who": caller("ann", "fraud", subject="ann-2")}, "there is no such grant of yours"),
        ({"view": "last4"}, "the grant is for another view"),
        ({"purpose": "chargeback"}, "the grant is for another purpose"),
        ({"name": "account"}, "the grant is for another field"),
    ],
)
def test_a_grant_is_bound(harness: Harness, changes: dict[str, object], message: str) -> None:
    grant = harness.granted()
    error = refusal(lambda: harness.read(grant, **changes))  # type: ignore[arg-type]
    assert (error.reason, error.message) == (Reason.GRANT_INVALID, message)
    assert harness.work.events[-1].outcome == "denied"


@pytest.mark.parametrize("grant", ["x", "4929-3092-1628-0011", "0" * 36, "{}", "\ud800"])
def test_what_is_no_grant_is_unknown_and_unrecorded(harness: Harness, grant: str) -> None:
    assert refusal(lambda: harness.read(grant)).reason is Reason.GRANT_INVALID
    assert harness.work.events[-1].grant == ""


def test_nobody_approves_for_themselves(harness: Harness) -> None:
    made = harness.request()
    for who, reason in (
        (caller("ann", "leads", subject="ann-2"), Reason.SELF_APPROVAL),
        (caller("inner", "leads", "fraud"), Reason.SAME_GROUP),
        (OFFICER, Reason.REVEAL_NOT_FOUND),
        (replace(LEAD, person=None), Reason.PERSON_REQUIRED),
        (ANALYST, Reason.DENIED),
    ):
        assert refusal(partial(harness.approve, made, who)).reason is reason
    assert harness.approve(made).state is State.GRANTED


def test_workloads_request_nothing(harness: Harness) -> None:
    who = Caller(Principal("spiffe", "spiffe://example.org/analyst"), "p", "c", "r")
    assert refusal(lambda: harness.request(who=who)).reason is Reason.PERSON_REQUIRED
    assert harness.work.events[-1].reason == "PERSON_REQUIRED"


def test_ciphertexts_are_decrypted_under_a_grant(harness: Harness) -> None:
    who = caller("arch", "scans")
    call = harness.call("Encrypt", who)
    sealed = harness.encryption.encrypt(call, "card", [b"one", b"two"], b"c", unchanged).values

    def decrypt(grant: str, items: Sequence[bytes], context: bytes = b"c") -> Sequence[bytes]:
        call, asked = harness.call("Decrypt", who), Justification(grant=grant)
        answer = harness.encryption.decrypt(call, "card", items, context, unchanged, asked)
        return answer.values

    assert refusal(lambda: decrypt("", sealed)).reason is Reason.APPROVAL_REQUIRED
    asked = RevealRequest("card", "", Justification(), "a case", (), ciphertexts=sealed[:1])
    made = harness.asking.request(harness.call("RequestReveal", who), asked)
    grant = str(harness.approve(made).reveal.id)
    assert refusal(lambda: decrypt(grant, sealed)).reason is Reason.GRANT_INVALID
    assert decrypt(grant, sealed[:1]) == [b"one"]
    assert harness.work.events[-1].charged == 1
    assert refusal(lambda: decrypt(grant, sealed[:1])).reason is Reason.GRANT_EXHAUSTED
    with pytest.raises(InvalidRequest, match="not both"):
        both = replace(asked, tokens=harness.cards)
        harness.asking.request(harness.call("RequestReveal", who), both)
    with pytest.raises(InvalidRequest, match="is empty"):
        harness.asking.request(
            harness.call("RequestReveal", who), replace(asked, ciphertexts=[b""])
        )


def test_a_draft_is_of_one_kind(harness: Harness) -> None:
    draft = harness.request(more=True)
    with pytest.raises(InvalidRequest, match="or kind"):
        harness.request([], reveal=str(draft.reveal.id), ciphertexts=[b"x"])
    assert harness.request([], reveal=str(draft.reveal.id)).state is State.OPEN


def test_expired_and_revoked_grants_show_nothing(harness: Harness) -> None:
    grant = harness.granted(lifetime=timedelta(minutes=5))
    harness.clock.ahead = timedelta(minutes=6)
    assert refusal(lambda: harness.read(grant)).reason is Reason.GRANT_EXPIRED
    second = harness.granted()
    harness.reveals.revoke(harness.call("RevokeReveal", LEAD), second, "enough")
    assert refusal(lambda: harness.read(second)).reason is Reason.GRANT_REVOKED


def test_a_request_that_nobody_approves_expires(harness: Harness) -> None:
    made = harness.request()
    harness.clock.ahead = timedelta(days=7, seconds=1)
    assert refusal(lambda: harness.approve(made)).reason is Reason.REVEAL_CLOSED
    found = harness.reveals.get(harness.call("GetReveal", ANALYST), str(made.reveal.id))
    assert found.state is State.EXPIRED


def test_a_later_policy_narrows(harness: Harness) -> None:
    grant = harness.granted()
    harness.change_policy("[{of: lead, not_same_group: true}]", "[{of: lead}, {of: officer}]")
    error = refusal(lambda: harness.read(grant))
    assert "other approvals" in error.message
    harness.change_policy("[{of: lead}, {of: officer}]", "[{of: lead}]")
    harness.read(grant, harness.cards[:1])
    harness.change_policy("value: fraud}, roles: [analyst]", "value: fraud}, roles: [officer]")
    assert refusal(lambda: harness.read(grant)).reason is Reason.DENIED


def test_a_view_that_shows_more_now_is_another_view(harness: Harness) -> None:
    grant = harness.granted(view="few")
    harness.change_policy("{few: {show_last: 2}}", "{few: {show_last: 6}}")
    error = refusal(lambda: harness.read(grant, view="few"))
    assert "changed what this view shows" in error.message


def test_approving_goes_by_the_policy_in_force_too(harness: Harness) -> None:
    made = harness.request()
    harness.change_policy("[{of: lead, not_same_group: true}]", "[{of: lead}, {of: officer}]")
    assert harness.approve(made).state is State.OPEN
    assert refusal(lambda: harness.approve(made)).reason is Reason.ALREADY_DECIDED


def test_a_request_that_is_covered_returns_the_one_that_covers_it(harness: Harness) -> None:
    first = harness.request()
    assert harness.request(harness.cards[:2]).reveal.id == first.reveal.id
    assert harness.request(harness.cards[:2], times=2).reveal.id != first.reveal.id
    assert harness.request(view="few").reveal.id != first.reveal.id
    grant = str(harness.approve(first).reveal.id)
    assert str(harness.request(harness.cards[1:]).reveal.id) == grant
    harness.read(grant, harness.cards[:1])
    assert str(harness.request(harness.cards[1:]).reveal.id) == grant
    again = harness.request(harness.cards[:1], who=ANALYST)
    assert str(again.reveal.id) != grant


def test_tokens_are_added_until_it_is_submitted(harness: Harness) -> None:
    draft = harness.request(harness.cards[:1], more=True)
    assert draft.state is State.DRAFT
    assert refusal(lambda: harness.approve(draft)).reason is Reason.REVEAL_CLOSED
    name = str(draft.reveal.id)
    more = harness.request(harness.cards[:2], more=True, reveal=name)
    assert more.reveal.tokens == 2
    made = harness.request(harness.cards[2:], reveal=name)
    assert (made.state, made.reveal.tokens, str(made.reveal.id)) == (State.OPEN, 3, name)
    assert refusal(lambda: harness.request(reveal=name)).reason is Reason.REVEAL_CLOSED
    harness.approve(made)
    assert harness.read(name).values == CARDS


def test_so_many_requests_wait_and_no_more(harness: Harness) -> None:
    made = [harness.request(more=True) for _ in range(100)]
    with pytest.raises(InvalidRequest, match="withdraw some first"):
        harness.request()
    call = harness.call("WithdrawReveal", ANALYST)
    harness.reveals.withdraw(call, str(made[0].reveal.id))
    assert harness.request().state is State.OPEN


def test_only_its_maker_adds_to_a_draft(harness: Harness) -> None:
    draft = harness.request(more=True)
    name = str(draft.reveal.id)
    eve = caller("eve", "fraud")
    error = refusal(lambda: harness.request(who=eve, reveal=name))
    assert error.reason is Reason.REVEAL_NOT_FOUND


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reason": ""}, "say why"),
        ({"reason": "a\nb"}, "say why"),
        ({"reason": "x" * 501}, "at most 500"),
        ({"times": 0}, "1 to 100 times"),
        ({"times": 101}, "1 to 100 times"),
        ({"lifetime": timedelta(0)}, "shorter than a second"),
        ({"tokens": ["no token"]}, "item 0 is not of the form"),
        ({"tokens": []}, "no tokens"),
    ],
)
def test_a_malformed_request_is_refused(
    harness: Harness, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        harness.request(**changes)  # type: ignore[arg-type]
    assert harness.work.events[-1].outcome == "failed"


def test_who_sees_a_request(harness: Harness) -> None:
    made = harness.request()
    name = str(made.reveal.id)

    def listed(who: Caller) -> list[tuple[str, bool, bool]]:
        found = harness.reveals.list(harness.call("ListReveals", who))
        return [(str(each.reveal.id), each.own, each.may_decide) for each in found]

    assert listed(ANALYST) == [(name, True, False)]
    assert listed(LEAD) == [(name, False, True)]
    others = [OFFICER, caller("eve", "fraud"), caller("inner", "leads", "fraud")]
    assert [listed(who) for who in others] == [[], [], []]
    for who in others[:2]:
        error = refusal(partial(harness.reveals.get, harness.call("GetReveal", who), name))
        assert error.reason is Reason.REVEAL_NOT_FOUND
    harness.approve(made)
    assert listed(LEAD) == []
    assert harness.reveals.get(harness.call("GetReveal", LEAD), name).reveal == (
        harness.reveals.get(harness.call("GetReveal", ANALYST), name).reveal
    )


def test_deny_and_withdraw(harness: Harness) -> None:
    denied = harness.request()
    made = harness.reveals.deny(harness.call("DenyReveal", LEAD), str(denied.reveal.id), "why?")
    assert (made.state, made.reveal.decisions[0].comment) == (State.DENIED, "why?")
    own = harness.request()
    assert own.reveal.id != denied.reveal.id
    call = harness.call("WithdrawReveal", ANALYST)
    assert harness.reveals.withdraw(call, str(own.reveal.id)).state is State.WITHDRAWN
    assert refusal(lambda: harness.read(str(own.reveal.id))).reason is Reason.GRANT_INVALID


def test_rows_of_another_hand_are_worth_nothing(harness: Harness) -> None:
    grant = harness.granted()
    tables = harness.work._tables  # as the database's owner
    ((key, row),) = tables.reveals.items()
    forgeries = [
        replace(row, document=row.document.replace('"times":1', '"times":9')),
        replace(row, ends=row.ends + timedelta(days=9)),
        replace(row, principal=f"{ISSUER}#eve"),
        replace(row, key_version=2),
    ]
    for forged in forgeries:
        harness.work._tables.reveals[key] = forged  # as the owner
        error = refusal(lambda: harness.read(grant))
        assert "changed by somebody else" in error.message
    harness.work._tables.reveals[key] = row
    harness.read(grant, harness.cards[:1])
    # What was spent, put back in its parts alone.
    tables = harness.work._tables
    for at, part in list(tables.reveal_parts.items()):
        rows = harness.reveals._rows
        reveal = rows.read(tables.reveals[key], tables.reveals[key].id)
        counts = {part.digests[i : i + 16]: 0 for i in range(0, len(part.digests), 16)}
        (tables.reveal_parts[at],) = rows.written_parts(reveal, {part.part: counts})
    assert "changed by somebody else" in refusal(lambda: harness.read(grant)).message


def test_denials_hide_what_is_there(harness: Harness) -> None:
    made = harness.request()
    nobody = caller("nobody", "officers")
    messages = set()
    for name in (str(made.reveal.id), "00000000-0000-4000-8000-000000000000", "x"):
        call = harness.call("ApproveReveal", nobody)
        with pytest.raises(Denied) as caught:
            harness.reveals.approve(call, name, "")
        messages.add((caught.value.reason, caught.value.message))
    assert len(messages) == 1


def test_times_are_the_stores(harness: Harness) -> None:
    made = harness.request().reveal
    assert abs(made.created - datetime.now(UTC)) < timedelta(minutes=1)


def test_nothing_that_people_wrote_or_asked_for_is_in_a_repr(harness: Harness) -> None:
    made = harness.request(reason="her number is secret-1")
    call = harness.call("ApproveReveal", LEAD)
    status = harness.reveals.approve(call, str(made.reveal.id), "secret-2")
    ask = RevealRequest("card", "full", PURPOSE, "secret-3", harness.cards, ciphertexts=[b"s-4"])
    rows = harness.work._tables
    shown = repr((status, ask, list(rows.reveals.values()), list(rows.reveal_parts.values())))
    assert not [word for word in ("secret", "s-4", harness.cards[0]) if word in shown]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("networks: [10.0.0.0/8]", Reason.OUTSIDE_NETWORKS),
        (
            "hours: {days: [mon], from: '00:00', to: '00:01', zone: UTC}, networks: [10.0.0.0/8]",
            Reason.OUTSIDE_NETWORKS,
        ),
    ],
)
def test_an_approver_is_told_what_keeps_them_out(
    harness: Harness, condition: str, reason: Reason
) -> None:
    made = harness.request()
    allow = 'lead: [{fields: ["*"], allow: [approve_reveal]'
    harness.change_policy(f"{allow}}}]", f"{allow}, {condition}}}]")
    assert refusal(lambda: harness.approve(made)).reason is reason
    deny, get = (
        lambda: harness.reveals.deny(harness.call("DenyReveal", LEAD), str(made.reveal.id), ""),
        lambda: harness.reveals.get(harness.call("GetReveal", LEAD), str(made.reveal.id)),
    )
    assert refusal(deny).reason is reason
    assert refusal(get).reason is reason
    assert harness.work.events[-1].reason == reason.value
    assert harness.reveals.list(harness.call("ListReveals", LEAD)) == []
    # Who could not approve it anyway does not learn that it is there.
    itself = caller("ann", "fraud", "leads", subject="other")
    for who in (OFFICER, itself, replace(LEAD, person=None)):
        assert refusal(lambda who=who: harness.approve(made, who)).reason is Reason.REVEAL_NOT_FOUND  # type: ignore[misc]


def test_who_revokes_is_told_what_keeps_them_out(harness: Harness) -> None:
    grant = harness.granted()
    allow = 'lead: [{fields: ["*"], allow: [approve_reveal]'
    harness.change_policy(f"{allow}}}]", f"{allow}, networks: [10.0.0.0/8]}}]")
    revoke = harness.reveals.revoke
    error = refusal(lambda: revoke(harness.call("RevokeReveal", LEAD), grant, ""))
    assert error.reason is Reason.OUTSIDE_NETWORKS
