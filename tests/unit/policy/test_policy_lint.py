"""Warnings of `policy check`."""

from __future__ import annotations

import pytest

from vault.policy.lint import LintFinding, Severity, lint
from vault.policy.reading.load import parse_policy

ROLES = "roles:\n  r: [{fields: [f], allow: [tokenize]}]\n"
HELD = "principals:\n  - {spiffe: 'spiffe://example.org/r', roles: [r]}\n"
LONG = "format: {alphabet: digits, min: 12, max: 20}"


def findings(field: str, rest: str = ROLES + HELD) -> list[LintFinding]:
    return lint(parse_policy(f"version: 1\nfields:\n  f: {{{field}}}\n{rest}", "policy.yaml"))


def messages(field: str, rest: str = ROLES + HELD) -> str:
    return "\n".join(each.message for each in findings(field, rest))


def test_nothing_is_found_in_a_policy_that_is_well() -> None:
    assert findings(f"{LONG}, generator: ff1") == []


def test_a_finding_says_where_it_is() -> None:
    (finding,) = findings(f"{LONG}, generator: ff3-1")
    assert finding.severity is Severity.WARNING
    assert finding.text("policy.yaml").startswith("policy.yaml:3: warning: fields.f: ff3-1 ")


def test_the_standing_of_ff3_1_is_told() -> None:
    assert "February 2025" in messages(f"{LONG}, generator: ff3-1")


def test_vaultless_fields_of_low_entropy_are_told() -> None:
    assert "vaultless with 1,000,000,000 values" in messages(
        "format: us_ssn, generator: ff1, storage: vaultless"
    )
    assert findings(f"{LONG}, generator: ff1, storage: vaultless") == []


def test_an_oracle_without_limits_is_told() -> None:
    (finding,) = findings("format: us_ssn, generator: ff1")
    assert finding.severity is Severity.WARNING
    assert "no limit on tokenize: whoever may do that can try them all" in finding.message
    assert findings("format: us_ssn, generator: ff1, scope: none") == []


def test_a_limit_that_is_no_obstacle_is_told() -> None:
    def limited(values: int) -> list[LintFinding]:
        limit = f"{{fields: [f], actions: [tokenize], values: {values}, per: 1d, by: principal}}"
        return findings("format: us_ssn, generator: ff1", f"limits:\n  - {limit}\n" + ROLES + HELD)

    (finding,) = limited(10_000_000)
    assert finding.severity is Severity.NOTE
    assert "all 1,000,000,000 values of the shortest length in 100 days" in finding.message
    assert limited(1000) == []


def test_random_tokens_that_will_run_out_are_told() -> None:
    assert "FORMAT_SPACE_EXHAUSTED" in messages(
        "format: card, min: 16, keep: {first: 6, last: 4}, generator: random"
    )


@pytest.mark.parametrize(
    ("field", "tokens"),
    [
        ("format: postcode, region: US, generator: random", "100,000"),
        ("format: postcode, region: GB, generator: random", "1,040,000"),
        ("format: date, order: ymd, generator: random", "1,000,000"),
        ("format: us_ssn, generator: random", "1,000,000,000"),
        ("format: us_itin, generator: random", "44,000,000"),
        ("format: us_routing, generator: random", "100,000,000"),
        ("format: document_number, generator: random", "1,000,000"),
        ("format: phone, region: US, generator: random", "1,000,000"),
        ("format: {alphabet: digits, min: 8, max: 8}, generator: random", "100,000,000"),
        ("format: card, min: 16, keep: {first: 6, last: 4}, generator: random", "100,000"),
        ("format: {template: 'A-{n:digits:7}'}, generator: random", "10,000,000"),
    ],
)
def test_random_tokens_that_one_caller_can_use_up_need_a_limit(field: str, tokens: str) -> None:
    told = f"{tokens} tokens, and no limit on tokenize"
    (finding,) = (each for each in findings(field) if told in each.message)
    assert finding.severity is Severity.WARNING
    assert "known value" in finding.message
    assert told not in messages(f"{field}, scope: none")
    describe = "roles:\n  r: [{fields: [f], allow: [describe]}]\n"
    assert told not in messages(field, describe + HELD)


@pytest.mark.parametrize(
    "field",
    [
        "format: person_name, generator: random",
        "format: person_name, script: own, generator: random",
        "format: address, generator: random",
        "format: email, generator: random",
        "format: surrogate, generator: random",
        "format: uuid, generator: random",
        f"{LONG}, generator: random",
    ],
)
def test_random_tokens_that_nobody_uses_up_need_no_limit(field: str) -> None:
    assert findings(field) == []


def test_a_limit_that_lets_tokens_be_used_up_soon_is_told() -> None:
    def limited(values: int) -> str:
        limit = f"{{fields: [f], actions: [tokenize], values: {values}, per: 1d, by: principal}}"
        field = "format: postcode, region: CA, generator: random"
        return messages(field, f"limits:\n  - {limit}\n" + ROLES + HELD)

    assert "one principal can use up all 7,200,000 tokens of the shortest value in 72 days" in (
        limited(100_000)
    )
    assert "use up" not in limited(10_000)


@pytest.mark.parametrize(
    "field",
    [
        'format: {alphabet: "0123456789+=", min: 20, max: 20}, generator: ff1',
        'format: {alphabet: "0123456789+=", min: 20, max: 20}, generator: random',
        'format: {template: "{a:0123456789=+:20}"}, generator: ff1',
    ],
)
def test_tokens_that_can_begin_as_formulas_are_told(field: str) -> None:
    (finding,) = findings(field)
    assert finding.severity is Severity.NOTE
    assert "can begin with +, =, which spreadsheets" in finding.message


@pytest.mark.parametrize(
    "field",
    [
        'format: {alphabet: "0123456789+=", min: 20, max: 20}, keep: {first: 1}, generator: ff1',
        'format: {template: "A{a:0123456789=+:20}"}, generator: ff1',
    ],
)
def test_tokens_that_begin_as_their_values_do_are_not(field: str) -> None:
    assert findings(field) == []


def test_an_acknowledgement_is_told_whether_needed_or_not() -> None:
    acknowledged = "acknowledge: {ff3_1_small_domain: true}"
    small = f"format: {{alphabet: digits, min: 9, max: 20}}, generator: ff3-1, {acknowledged}"
    assert "published attacks" in messages(small)
    assert "not needed" in messages(f"{LONG}, generator: ff1, {acknowledged}")


def test_a_role_that_nobody_holds_is_told() -> None:
    found = messages(f"{LONG}, generator: ff1", ROLES)
    assert "no principal holds this role" in found
    assert "every call is denied" in found


def test_a_field_that_nobody_tokenizes_is_told() -> None:
    roles = "roles:\n  r: [{fields: [f], allow: [describe]}]\n"
    assert "no role may tokenize it" in messages(f"{LONG}, generator: ff1", roles + HELD)


def test_a_lookup_that_finds_nothing_is_told() -> None:
    roles = "roles:\n  r: [{fields: [f], allow: [tokenize, lookup]}]\n"
    assert "finds nothing" in messages(f"{LONG}, generator: ff1, scope: none", roles + HELD)


def test_one_principal_for_both_ways_on_everything_is_told() -> None:
    roles = (
        "roles:\n"
        "  r: [{fields: ['*'], allow: [lookup]}]\n"
        "  back: [{fields: [f], allow: [detokenize], view: full}]\n"
        "  write: [{fields: [f], allow: [tokenize]}]\n"
    )
    both = "principals:\n  - {spiffe: 'spiffe://example.org/r', roles: [r, back, write]}\n"
    assert "a stolen certificate opens everything" in messages(
        f"{LONG}, generator: ff1", roles + both
    )
    apart = (
        "principals:\n  - {spiffe: 'spiffe://example.org/r', roles: [r, write]}\n"
        "  - {spiffe: 'spiffe://example.org/b', roles: [back]}\n"
    )
    assert findings(f"{LONG}, generator: ff1", roles + apart) == []


def test_whole_values_of_every_later_field_are_told() -> None:
    roles = (
        "roles:\n  r: [{fields: ['*'], allow: [tokenize]}]\n"
        "  back: [{fields: ['*'], allow: [detokenize], view: full}]\n"
    )
    held = HELD + "  - {spiffe: 'spiffe://example.org/b', roles: [back]}\n"
    assert "added later too" in messages(f"{LONG}, generator: ff1", roles + held)


def test_a_principal_whose_roles_cancel_out_is_told() -> None:
    roles = (
        "roles:\n  r: [{fields: [f], allow: [tokenize]}]\n"
        "  never: [{fields: ['*'], deny: [tokenize]}]\n"
    )
    held = "principals:\n  - {spiffe: 'spiffe://example.org/r', roles: [r, never]}\n"
    assert "deny everything" in messages(f"{LONG}, generator: ff1", roles + held)


def test_erasing_and_reading_the_audit_in_one_hand_is_told() -> None:
    roles = (
        "roles:\n  r: [{fields: [f], allow: [tokenize]}]\n"
        "  erase: [{fields: ['*'], allow: [erase]}]\n  audit: [{allow: [read_audit]}]\n"
    )
    both = HELD + "  - {spiffe: 'spiffe://example.org/b', roles: [erase, audit]}\n"
    (finding,) = findings(f"{LONG}, generator: ff1", roles + both)
    assert finding.severity is Severity.WARNING
    assert finding.path == "principals[1]"
    assert finding.message.startswith("holds erase, read_audit together")
    apart = (
        HELD + "  - {spiffe: 'spiffe://example.org/e', roles: [erase]}\n"
        "  - {spiffe: 'spiffe://example.org/a', roles: [audit]}\n"
    )
    assert findings(f"{LONG}, generator: ff1", roles + apart) == []
