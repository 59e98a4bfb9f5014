"""Decisions: no rule, no access; deny wins; refusals tell nothing."""

from __future__ import annotations

import pytest

from vault.errors import Reason
from vault.model import Action, Principal
from vault.policy.decide import Allow, Decision, Deny, decide
from vault.policy.reading.load import parse_policy

POLICY = parse_policy(
    """
version: 1
fields:
  card: {format: card, generator: ff1, views: {last4: {show_last: 4}, first2: {show_first: 2}}}
  ssn: {format: us_ssn, generator: ff1, views: {last2: {show_last: 2}}}
roles:
  pipeline: [{fields: ["*"], allow: [tokenize]}]
  tokenizer: [{fields: [card], allow: [tokenize]}]
  support: [{fields: [card], allow: [detokenize], view: last4}]
  helpdesk: [{fields: [card], allow: [detokenize], view: last4}]
  sorter: [{fields: [card], allow: [detokenize], view: first2}]
  fraud: [{fields: [card], allow: [detokenize], view: full}]
  carrier: [{fields: [card], allow: [detokenize], view: token}]
  everything: [{fields: ["*"], allow: [detokenize, tokenize, lookup, describe], view: full}]
  no_ssn: [{fields: [ssn], deny: [detokenize, tokenize]}]
  blocked: [{fields: ["*"], deny: [tokenize, detokenize, lookup, describe]}]
  cipher: [{fields: [ssn], allow: [encrypt, decrypt], view: full}]
  auditor: [{allow: [read_audit, read_policy]}]
  half_auditor: [{deny: [read_policy]}]
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/two", roles: [tokenizer, pipeline]}
  - {spiffe: "spiffe://example.org/support", roles: [support]}
  - {spiffe: "spiffe://example.org/support2", roles: [support, helpdesk]}
  - {spiffe: "spiffe://example.org/several", roles: [support, sorter]}
  - {spiffe: "spiffe://example.org/fraud", roles: [fraud]}
  - {spiffe: "spiffe://example.org/lead", roles: [fraud, support]}
  - {spiffe: "spiffe://example.org/carrier", roles: [carrier]}
  - {spiffe: "spiffe://example.org/limited", roles: [everything, no_ssn]}
  - {spiffe: "spiffe://example.org/blocked", roles: [blocked, everything]}
  - {spiffe: "spiffe://example.org/cipher", roles: [cipher]}
  - {spiffe: "spiffe://example.org/auditor", roles: [auditor]}
  - {spiffe: "spiffe://example.org/half", roles: [auditor, half_auditor]}
""",
    "policy.yaml",
)


def ask(who: str, action: Action, field: str | None, view: str = "") -> Decision:
    principal = Principal("spiffe", f"spiffe://example.org/{who}")
    return decide(POLICY, principal, action, field, view)


def refused(decision: Decision) -> Reason:
    assert isinstance(decision, Deny)
    return decision.reason


def test_a_rule_gives_access_and_names_the_roles_that_do() -> None:
    assert ask("pipeline", Action.TOKENIZE, "ssn") == Allow(("pipeline",), "")
    assert ask("two", Action.TOKENIZE, "card") == Allow(("pipeline", "tokenizer"), "")
    assert ask("two", Action.TOKENIZE, "ssn") == Allow(("pipeline",), "")


@pytest.mark.parametrize("action", [a for a in Action if a is not Action.TOKENIZE])
def test_without_a_rule_there_is_no_access(action: Action) -> None:
    field = None if action in {Action.READ_AUDIT, Action.READ_POLICY} else "card"
    assert refused(ask("pipeline", action, field)) is Reason.DENIED


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("field", ["card", "nothing", "", None])
@pytest.mark.parametrize("view", ["", "full"])
def test_an_unknown_principal_is_denied_everything_alike(
    action: Action, field: str | None, view: str
) -> None:
    decision = ask("stranger", action, field, view)
    assert decision == Deny(Reason.DENIED, "the policy does not allow this call")


def test_the_issuer_is_part_of_who_one_is() -> None:
    impostor = Principal("https://idp.example.org", "spiffe://example.org/pipeline")
    assert refused(decide(POLICY, impostor, Action.TOKENIZE, "card")) is Reason.DENIED


def test_a_caller_without_rights_on_fields_cannot_probe_for_them() -> None:
    known = ask("auditor", Action.TOKENIZE, "card")
    assert known == ask("auditor", Action.TOKENIZE, "nothing")
    assert known == ask("auditor", Action.TOKENIZE, "")
    assert refused(known) is Reason.DENIED


def test_a_caller_whose_rights_are_all_denied_cannot_probe_either() -> None:
    known = ask("blocked", Action.TOKENIZE, "card")
    assert known == ask("blocked", Action.DETOKENIZE, "nothing", "full")
    assert refused(known) is Reason.DENIED


def test_a_caller_with_some_right_learns_that_a_field_is_unknown() -> None:
    assert refused(ask("support", Action.DETOKENIZE, "nothing")) is Reason.FIELD_NOT_FOUND
    assert refused(ask("support", Action.TOKENIZE, "nothing")) is Reason.FIELD_NOT_FOUND
    assert refused(ask("support", Action.DETOKENIZE, "ssn")) is Reason.DENIED
    assert refused(ask("support", Action.DETOKENIZE, "")) is Reason.INVALID_REQUEST
    assert refused(ask("support", Action.DETOKENIZE, None)) is Reason.INVALID_REQUEST


def test_deny_wins_over_another_roles_allow() -> None:
    assert isinstance(ask("limited", Action.DETOKENIZE, "card"), Allow)
    assert isinstance(ask("limited", Action.LOOKUP, "ssn"), Allow)
    for view in ("", "full", "token", "last2"):
        assert refused(ask("limited", Action.DETOKENIZE, "ssn", view)) is Reason.DENIED
    assert refused(ask("limited", Action.TOKENIZE, "ssn")) is Reason.DENIED


def test_the_only_view_granted_is_the_default() -> None:
    assert ask("support", Action.DETOKENIZE, "card") == Allow(("support",), "last4")
    assert ask("support2", Action.DETOKENIZE, "card") == Allow(("helpdesk", "support"), "last4")
    assert ask("fraud", Action.DETOKENIZE, "card") == Allow(("fraud",), "full")
    assert ask("carrier", Action.DETOKENIZE, "card") == Allow(("carrier",), "token")


@pytest.mark.parametrize("who", ["several", "lead"])
def test_of_several_views_none_wins_silently(who: str) -> None:
    assert refused(ask(who, Action.DETOKENIZE, "card")) is Reason.INVALID_REQUEST


def test_a_partial_view_gives_that_view_only() -> None:
    assert ask("support", Action.DETOKENIZE, "card", "last4") == Allow(("support",), "last4")
    for view in ("full", "first2", "last2", "nothing", "FULL", "last4 ", "*"):
        assert refused(ask("support", Action.DETOKENIZE, "card", view)) is Reason.DENIED


def test_an_unknown_view_and_one_not_granted_look_alike() -> None:
    unknown = ask("support", Action.DETOKENIZE, "card", "nothing")
    assert unknown == ask("support", Action.DETOKENIZE, "card", "full")


def test_full_gives_every_view_of_the_field() -> None:
    assert ask("fraud", Action.DETOKENIZE, "card", "first2") == Allow(("fraud",), "first2")
    assert ask("lead", Action.DETOKENIZE, "card", "last4") == Allow(("fraud", "support"), "last4")
    assert ask("lead", Action.DETOKENIZE, "card", "full") == Allow(("fraud",), "full")
    assert refused(ask("fraud", Action.DETOKENIZE, "card", "last2")) is Reason.INVALID_REQUEST


def test_whoever_may_detokenize_at_all_may_have_the_token() -> None:
    assert ask("support", Action.DETOKENIZE, "card", "token") == Allow(("support",), "token")
    assert ask("several", Action.DETOKENIZE, "card", "token") == Allow(
        ("sorter", "support"), "token"
    )
    assert refused(ask("carrier", Action.DETOKENIZE, "card", "full")) is Reason.DENIED
    assert refused(ask("pipeline", Action.DETOKENIZE, "card", "token")) is Reason.DENIED


def test_decrypt_answers_whole_values_only() -> None:
    assert ask("cipher", Action.DECRYPT, "ssn") == Allow(("cipher",), "full")
    assert ask("cipher", Action.DECRYPT, "ssn", "full") == Allow(("cipher",), "full")
    assert ask("cipher", Action.ENCRYPT, "ssn") == Allow(("cipher",), "")
    assert refused(ask("cipher", Action.DECRYPT, "ssn", "last2")) is Reason.INVALID_REQUEST
    assert refused(ask("cipher", Action.DETOKENIZE, "ssn")) is Reason.DENIED


def test_actions_without_a_view_refuse_one() -> None:
    assert refused(ask("pipeline", Action.TOKENIZE, "card", "full")) is Reason.INVALID_REQUEST


def test_actions_without_a_field() -> None:
    assert ask("auditor", Action.READ_AUDIT, None) == Allow(("auditor",), "")
    assert refused(ask("auditor", Action.READ_AUDIT, "card")) is Reason.DENIED
    assert isinstance(ask("half", Action.READ_AUDIT, None), Allow)
    assert refused(ask("half", Action.READ_POLICY, None)) is Reason.DENIED


def test_no_message_repeats_what_the_caller_sent() -> None:
    for who in ("stranger", "support", "fraud", "pipeline"):
        decision = ask(who, Action.DETOKENIZE, "4111111111111111", "4111111111111111")
        assert isinstance(decision, Deny)
        assert "4111" not in decision.message
