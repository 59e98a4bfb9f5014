"""The sample policy and the examples of its reference are policies, and mean what they say."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from vault.model import Action, Generator, Group, Principal
from vault.policy.decide import Allow, Deny, decide
from vault.policy.lint import lint
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy

ROOT = Path(__file__).parents[3]
FIELDS = ["card_number", "us_ssn", "email", "person_name", "national_id", "account_id"]
FIELDLESS = {Action.READ_AUDIT, Action.READ_POLICY, Action.MANAGE_FREEZES}


@pytest.fixture(scope="module")
def sample() -> Policy:
    text = (ROOT / "deploy" / "policy.yaml").read_text(encoding="utf-8")
    return parse_policy(text, "policy.yaml")


def test_the_sample_has_the_fields_that_the_demo_uses(sample: Policy) -> None:
    assert list(sample.fields) == FIELDS


def test_the_sample_uses_ff3_1_only_where_it_may(sample: Policy) -> None:
    fields = [f for f in sample.fields.values() if f.generator is Generator.FF3_1]
    assert [field.name for field in fields] == ["card_number", "account_id"]
    assert all(field.effective_domain >= 10**10 for field in fields)
    assert not any(field.acknowledged for field in sample.fields.values())


def test_a_ttl_is_not_part_of_a_fields_token_spec(sample: Policy) -> None:
    assert sample.fields["email"].ttl == timedelta(days=365)
    without = parse_policy(sample.document.replace("    ttl: 365d\n", ""), "policy.yaml")
    assert without.fields["email"].ttl is None
    assert without.fields["email"].token_spec == sample.fields["email"].token_spec


def test_the_sample_is_warned_of_what_its_reference_admits(sample: Policy) -> None:
    warned = {each.path for each in lint(sample) if each.severity == "warning"}
    assert warned == {
        "fields.card_number",
        "fields.national_id",
        "fields.account_id",
        "roles.restore_pipeline",
    }


def test_every_role_of_the_sample_has_one_principal_of_its_name(sample: Policy) -> None:
    held = {
        each.principal.subject: each.roles
        for each in sample.bindings
        if isinstance(each.principal, Principal)
    }
    assert held == {
        f"spiffe://example.org/{name.replace('_', '-')}": (name,) for name in sample.roles
    }


def test_every_role_of_the_sample_has_one_group_of_one_issuer(sample: Policy) -> None:
    held = [each for each in sample.bindings if isinstance(each.principal, Group)]
    assert sorted(each.roles for each in held) == sorted((name,) for name in sample.roles)
    assert {each.principal[:3] for each in held if isinstance(each.principal, Group)} == {
        ("https://idp.example.org", "tokenvault", "groups")
    }


EXPECTED: dict[str, set[tuple[Action, str | None, str]]] = {
    "pipeline": {(Action.TOKENIZE, field, "") for field in FIELDS},
    "support": {(Action.DETOKENIZE, "card_number", "last4")},
    "fraud-analyst": {(Action.DETOKENIZE, "card_number", "full")},
    "investigator": {
        (action, "us_ssn", "full") for action in (Action.REQUEST_REVEAL, Action.DETOKENIZE)
    },
    "fraud-lead": {(Action.APPROVE_REVEAL, "us_ssn", "")},
    "steward": {(a, field, "") for a in (Action.LOOKUP, Action.DESCRIBE) for field in FIELDS},
    "restore-pipeline": {(Action.DETOKENIZE, field, "full") for field in FIELDS},
    "crypto-service": {
        (Action.ENCRYPT, "national_id", ""),
        (Action.DECRYPT, "national_id", "full"),
    },
    "privacy-officer": {(Action.ERASE, field, "") for field in FIELDS},
    "security-officer": {
        (Action.MANAGE_FREEZES, None, ""),
        *((Action.MANAGE_HONEY, field, "") for field in FIELDS),
    },
    "auditor": {(Action.READ_AUDIT, None, ""), (Action.READ_POLICY, None, "")},
}


@pytest.mark.parametrize("who", EXPECTED)
def test_a_role_of_the_sample_may_do_this_and_nothing_else(sample: Policy, who: str) -> None:
    principal = Principal("spiffe", f"spiffe://example.org/{who}")
    pairs: list[tuple[Action, str | None]] = [
        (action, field)
        for action in Action
        for field in ([None] if action in FIELDLESS else FIELDS)
    ]
    decisions = [(pair, decide(sample, principal, *pair)) for pair in pairs]
    allowed = {(*pair, each.view) for pair, each in decisions if isinstance(each, Allow)}
    assert allowed == EXPECTED[who]


def test_support_cannot_ask_for_more(sample: Policy) -> None:
    support = Principal("spiffe", "spiffe://example.org/support")
    assert isinstance(decide(sample, support, Action.DETOKENIZE, "card_number", "full"), Deny)


def test_the_examples_of_the_reference_are_policies() -> None:
    text = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(version: 1\n.*?)```", text, flags=re.DOTALL)
    assert examples
    for example in examples:
        assert parse_policy(example, "docs/policy.md").fields


def test_the_reference_names_every_key_and_action() -> None:
    text = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    keys = "format min max keep generator storage scope token_luhn separators views acknowledge"
    keys += " ttl fields limits actions values per by roles principals allow deny view"
    keys += " purposes ticket networks hours budget on_denied freezes touches"
    words = [*keys.split(), *Action]
    assert [word for word in words if f"`{word}`" not in text] == []
