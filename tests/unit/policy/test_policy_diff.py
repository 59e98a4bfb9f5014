"""Who gains and loses what: by effect, whatever the text."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from vault.model import Action, Group, Principal
from vault.policy.diff import LATER, Access, Change, HolderChange, PolicyDiff, diff
from vault.policy.limits import Quota
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.policy.roles import Role, Rule

ANN = Principal("spiffe", "spiffe://example.org/ann")
FRAUD = Group("https://idp.example.org", "tokenvault", "groups", "fraud")

FIELDS = """
  us_ssn: {format: us_ssn, generator: ff1, views: {last4: {show_last: 4}}}
  email: {format: email, generator: random, ttl: 30d}
"""
ROLES = """
  reader: [{fields: [us_ssn], allow: [detokenize], view: last4}]
  writer: [{fields: ["*"], allow: [tokenize]}]
"""
PRINCIPALS = """
  - {spiffe: "spiffe://example.org/ann", roles: [reader]}
  - jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: fraud}
    roles: [writer]
"""


def policy(
    *,
    fields: str = FIELDS,
    roles: str = ROLES,
    principals: str = PRINCIPALS,
    limits: tuple[str, ...] = (),
) -> Policy:
    listed = f"limits: [{', '.join(limits)}]\n" if limits else ""
    text = f"version: 1\nfields:{fields}roles:{roles}{listed}principals:{principals}"
    return parse_policy(text, "policy.yaml")


OLD = policy()


def only(found: PolicyDiff) -> HolderChange:
    (change,) = found.holders
    return change


def test_a_policy_differs_in_nothing_from_itself() -> None:
    assert not diff(OLD, OLD)


def test_other_text_of_the_same_effect_is_no_difference() -> None:
    same = policy(
        roles="""
  # the same, in other words
  writing: [{fields: ["*"], allow: [tokenize]}]
  reading:
    - {fields: [us_ssn], allow: [detokenize], view: last4}
    - {fields: [us_ssn], allow: [detokenize], view: last4}
  unused: [{fields: [email], allow: [erase]}]
""",
        principals=PRINCIPALS.replace("reader", "reading").replace("writer", "writing"),
    )
    assert same.digest != OLD.digest
    assert not diff(OLD, same)


def test_another_view_is_a_gain_and_a_loss() -> None:
    change = only(diff(OLD, policy(roles=ROLES.replace("view: last4", "view: full"))))
    assert change.holder == ANN
    assert change.gains == {Access(Action.DETOKENIZE, "us_ssn", "full")}
    assert change.loses == {Access(Action.DETOKENIZE, "us_ssn", "last4")}


def test_who_is_no_longer_listed_loses_everything_and_who_is_new_gains() -> None:
    bob = PRINCIPALS.replace("/ann", "/bob")
    first, second = diff(OLD, policy(principals=bob)).holders
    assert first.holder == ANN
    assert first.loses == {Access(Action.DETOKENIZE, "us_ssn", "last4")}
    assert str(second.holder) == "spiffe://example.org/bob"
    assert (second.gains, second.loses) == (first.loses, first.gains)


def test_every_field_is_more_than_all_of_them() -> None:
    written_out = ROLES.replace('["*"]', "[us_ssn, email]")
    change = only(diff(OLD, policy(roles=written_out)))
    assert change.holder == FRAUD
    assert change.loses == {Access(Action.TOKENIZE, LATER)}
    assert only(diff(policy(roles=written_out), OLD)).gains == change.loses


def test_a_new_field_is_a_gain_of_those_with_every_field() -> None:
    found = diff(OLD, policy(fields=FIELDS + "  phone: {format: phone, generator: random}\n"))
    assert only(found).gains == {Access(Action.TOKENIZE, "phone")}
    assert [(each.field, each.change) for each in found.fields] == [("phone", Change.ADDED)]


def test_a_deny_takes_what_other_rules_allow() -> None:
    denying = ROLES + "  barred: [{fields: [us_ssn], deny: [detokenize]}]\n"
    found = diff(
        policy(roles=denying),
        policy(roles=denying, principals=PRINCIPALS.replace("[reader]", "[reader, barred]")),
    )
    change = only(found)
    assert (change.gains, change.denied) == (frozenset(), frozenset())
    assert change.loses == {Access(Action.DETOKENIZE, "us_ssn", "last4")}


def test_what_a_group_denies_bears_on_its_members_other_groups() -> None:
    denying = ROLES + "  barred: [{fields: [us_ssn], deny: [detokenize]}]\n"
    with_deny = policy(roles=denying, principals=PRINCIPALS.replace("[writer]", "[writer, barred]"))
    bar = {Access(Action.DETOKENIZE, "us_ssn")}
    change = only(diff(policy(roles=denying), with_deny))
    assert (change.holder, change.gains, change.loses) == (FRAUD, frozenset(), frozenset())
    assert change.denied == bar
    assert only(diff(with_deny, policy(roles=denying))).undenied == bar


def test_a_view_that_shows_more_names_its_readers() -> None:
    found = diff(OLD, policy(fields=FIELDS.replace("show_last: 4", "show_last: 6")))
    assert found.holders == ()
    (view,) = found.views
    assert (view.field, view.view, view.readers) == ("us_ssn", "last4", (ANN,))
    (field,) = found.fields
    assert (field.key, field.before, field.after) == ("views.last4.show_last", "4", "6")
    assert not field.tokens


@pytest.mark.parametrize(
    ("before", "after", "key", "tokens"),
    [
        ("ttl: 30d", "ttl: 60d", "ttl", False),
        (", ttl: 30d", "", "ttl", False),
        ("generator: random", "generator: random, scope: none", "scope", True),
    ],
)
def test_a_fields_key_is_told_and_whether_tokens_change(
    before: str, after: str, key: str, tokens: bool
) -> None:
    (change,) = diff(OLD, policy(fields=FIELDS.replace(before, after))).fields
    assert (change.field, change.key, change.tokens) == ("email", key, tokens)


def limit(values: int, per: str = "1h") -> str:
    return f"{{fields: [email], actions: [tokenize], values: {values}, per: {per}, by: principal}}"


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ([], [limit(5)], Change.TIGHTENED),
        ([limit(5)], [limit(4)], Change.TIGHTENED),
        ([limit(5)], [limit(5), limit(50, "1d")], Change.TIGHTENED),
        ([limit(5)], [], Change.LOOSENED),
        ([limit(5)], [limit(6)], Change.LOOSENED),
        ([limit(5)], [limit(5, "1d")], Change.CHANGED),
        ([limit(5), limit(50, "1d")], [limit(6), limit(40, "1d")], Change.CHANGED),
    ],
)
def test_a_limit_is_looser_or_tighter(before: list[str], after: list[str], change: Change) -> None:
    old, new = (policy(limits=tuple(each)) for each in (before, after))
    (found,) = diff(old, new).limits
    assert (found.action, found.field, found.change) == (Action.TOKENIZE, "email", change)


def test_of_two_limits_the_stricter_counts() -> None:
    old = policy(limits=(limit(5),))
    assert not diff(old, policy(limits=(limit(5), limit(9))))
    assert diff(old, policy()).limits[0].before == (Quota(3600, 5),)


@dataclass(frozen=True)
class LaterRule(Rule):
    """A rule of a later release: a key that today's knows nothing of."""

    approvals: str = ""
    note: str = ""


def with_rule(rule: Rule) -> Policy:
    return replace(OLD, roles={**OLD.roles, "reader": Role("reader", (rule,))})


def test_a_key_of_a_later_release_is_compared_too() -> None:
    names, allow = frozenset({"us_ssn"}), frozenset({Action.DETOKENIZE})
    plain = LaterRule(names, False, allow, frozenset(), "last4")
    change = only(diff(with_rule(replace(plain, approvals="lead: 1")), with_rule(plain)))
    assert change.gains == {Access(Action.DETOKENIZE, "us_ssn", "last4")}
    assert change.loses == {
        Access(Action.DETOKENIZE, "us_ssn", "last4", (("approvals", "lead: 1"),))
    }
    assert not diff(OLD, with_rule(plain))
