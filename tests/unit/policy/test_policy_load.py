"""parse_policy: what it makes, and everything that it refuses."""

from __future__ import annotations

import hashlib
import json

import pytest

from vault.errors import PolicyError
from vault.model import Action, Generator, Group, Principal, Scope, Storage
from vault.policy.model import Policy
from vault.policy.reading.load import InvalidPolicy, Problem, parse_policy
from vault.policy.views import View

HEAD = "version: 1\n"
CARD = (
    "  card: {format: card, min: 15, keep: {last: 4}, generator: ff1, "
    "views: {last4: {show_last: 4}}}\n"
)
SSN = "  ssn: {format: us_ssn, generator: ff1}\n"
GROUP = "{issuer: 'https://idp/i', audience: aud, claim: groups, value: fraud}"
JWT_AT = "principals[0].jwt"
ISSUER_AT = f"{JWT_AT}.issuer"


def policy(fields: str = CARD, roles: str = "", principals: str = "") -> str:
    text = HEAD + "fields:\n" + fields
    if roles:
        text += "roles:\n" + roles
    if principals:
        text += "principals:\n" + principals
    return text


def load(text: str) -> Policy:
    return parse_policy(text, "policy.yaml")


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        load(text)
    return caught.value.problems


def only_problem(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def field_problem(body: str) -> Problem:
    return only_problem(policy(f"  f: {{{body}}}\n"))


def rule_problem(body: str) -> Problem:
    return only_problem(policy(CARD + SSN, f"  r: [{{{body}}}]\n"))


def test_a_whole_policy_becomes_a_model() -> None:
    text = policy(
        CARD + "  id: {format: {alphabet: digits, min: 10, max: 20}, generator: ff3-1, "
        "storage: vaultless}\n",
        "  a: [{fields: ['*'], allow: [tokenize]}]\n"
        "  b: [{fields: [card], allow: [detokenize], view: last4}]\n",
        "  - {spiffe: 'spiffe://example.org/x', roles: [b, a]}\n",
    )
    made = load(text)
    assert made.digest == hashlib.sha256(text.encode()).hexdigest()
    assert made.document == text
    assert list(made.fields) == ["card", "id"]
    card, account = made.fields["card"], made.fields["id"]
    assert (card.format_name, card.generator) == ("card", Generator.FF1)
    assert (card.storage, card.scope) == (Storage.VAULTED, Scope.FIELD)
    assert {name: card.views[name] for name in ("last4", "masked")} == {
        "last4": View(show_last=4),
        "masked": View(),
    }
    assert account.format_name == "alphabet"
    assert account.storage is Storage.VAULTLESS
    assert account.effective_domain == 10**10
    assert made.roles_of(Principal("spiffe", "spiffe://example.org/x")) == ("a", "b")
    assert made.roles_of(Principal("spiffe", "spiffe://example.org/y")) == ()
    assert made.roles["a"].rules[0].fields == {"card", "id"}
    assert made.roles["a"].rules[0].every
    assert made.roles["b"].rules[0].allow == {Action.DETOKENIZE}


def test_an_error_names_file_line_column_and_key_path() -> None:
    with pytest.raises(PolicyError) as caught:
        load(policy("  card:\n    format: card\n    generator: ff2\n"))
    assert caught.value.message == (
        "policy.yaml:5:16: fields.card.generator: 'ff2' is unknown: did you mean 'ff1'?; "
        "allowed: ff1, ff3-1, random"
    )


def test_every_problem_is_reported_in_file_order() -> None:
    found = problems(
        "version: 1\n"
        "feilds: 1\n"
        "fields:\n"
        "  A: {format: card, generator: ff1}\n"
        "  b: {format: card, generator: ff1, min: many}\n"
        "roles:\n"
        "  r: [{fields: [c], allow: [tokenise]}]\n"
        "principals:\n"
        "  - {spiffe: 'http://x', roles: [q]}\n"
    )
    assert [(each.line, each.path) for each in found] == [
        (2, "feilds"),
        (4, "fields.A"),
        (5, "fields.b.min"),
        (7, "roles.r[0].fields[0]"),
        (7, "roles.r[0].allow[0]"),
        (9, "principals[0].spiffe"),
        (9, "principals[0].roles[0]"),
    ]
    assert "did you mean 'fields'" in found[0].message
    assert "did you mean 'tokenize'" in found[4].message


def test_a_block_is_found_at_its_key() -> None:
    problem = only_problem(policy("  # why\n  card:\n    format: card\n"))
    assert (problem.line, problem.column, problem.path) == (4, 3, "fields.card")


def test_a_broken_field_is_not_reported_again_where_a_role_names_it() -> None:
    text = policy(
        "  f: {format: card, generator: x}\n",
        "  r: [{fields: [f], allow: [detokenize], view: v}]\n",
    )
    assert only_problem(text).path == "fields.f.generator"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "empty"),
        ("just text", 1, "must be a mapping, and is text"),
        ("- a", 1, "must be a mapping, and is a list"),
        ("version: 1\nfields: [", 2, "not YAML"),
        ("version: 1\n---\nversion: 1\n", 2, "not YAML"),
        ("version: 1\nfields:\n  a: \x01\n", 3, "control character"),
        ('version: "\\UFFFFFFFF"\n', 1, "not YAML"),
        ("version: &a 1\n", 1, "anchors"),
        ("version: 1\nfields:\n  a: &x {format: card}\n  b: *x\n", 3, "anchors"),
        ("version: 1\nfields:\n  a:\n    <<: {format: card}\n", 4, "merge keys"),
        ("version: 1\nfields: " + "[" * 50 + "]" * 50, 2, "nested deeper"),
        ("#" * 1_048_577, 1, "larger than"),
        ("version: 2\nfelds: {}\n", 1, "this release reads version 1"),
        ("version: '1'\nfields: {}\n", 1, "must be a whole number"),
        ("version: 0x1\nfields: {}\n", 1, "must be a whole number"),
        ("fields: {}\n", 1, "has no 'version'"),
        ("version: 1\n", 1, "has no 'fields'"),
        ("version: 1\nfields: {}\n", 2, "has no field"),
        ("version: 1\nfields:\n", 2, "must be a mapping, and is empty"),
        ("version: 1\nversion: 1\nfields: {a: {format: us_ssn, generator: ff1}}", 2, "here twice"),
        ("version: 1\nfields: {on: {format: us_ssn, generator: ff1}}", 2, "put it in quotes"),
        ("version: 1\nfields: {[a]: 1}", 2, "must be text, and is a list"),
        ("version: !!python/name:os.system 1\nfields: {}", 1, "of a kind that a policy"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(text: str, line: int, message: str) -> None:
    found = [each for each in problems(text) if message in each.message]
    assert [each.line for each in found] == [line]


def test_the_document_is_not_quoted_when_it_is_not_a_policy() -> None:
    secret = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n"
    with pytest.raises(PolicyError) as caught:
        load(secret)
    assert "MC4C" not in caught.value.message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ("format: us_ssn", "fields.f", "has no 'generator'"),
        ("generator: ff1", "fields.f", "has no 'format'"),
        ("format: swift, generator: ff1", "fields.f.format", "iban"),
        ("format: 7, generator: ff1", "fields.f.format", "put it in quotes"),
        ("format: us_ssn, generator: ff1, ttl: 1y", "fields.f.ttl", "such as 365d"),
        ("format: us_ssn, generator: ff1, ttl: 0d", "fields.f.ttl", "such as 365d"),
        ("format: us_ssn, generator: ff1, ttl: 36501d", "fields.f.ttl", "up to 36500d"),
        (
            "format: us_ssn, generator: ff1, storage: vaultless, ttl: 1d",
            "fields.f.ttl",
            "stores no tokens that could expire",
        ),
        ("format: us_ssn, generator: ff1, limits: []", "fields.f.limits", "unknown key"),
        ("format: us_ssn, generator: ff1, scope: subject", "fields.f.scope", "not built yet"),
        ("format: us_ssn, generator: ff1, scope: session", "fields.f.scope", "not built yet"),
        ("format: us_ssn, generator: ff1, scope: feild", "fields.f.scope", "mean 'field'"),
        ("format: us_ssn, generator: ff1, storage: vaultles", "fields.f.storage", "'vaultless'"),
        ("format: us_ssn, generator: ff1, stroage: x", "fields.f.stroage", "mean 'storage'"),
        ("format: email, generator: ff1", "fields.f.generator", "random"),
        ("format: email, generator: random, storage: vaultless", "fields.f.storage", "vaulted"),
        ("format: us_ssn, generator: random, storage: vaultless", "fields.f.storage", "vaulted"),
        (
            "format: us_ssn, generator: ff1, storage: vaultless, scope: none",
            "fields.f.scope",
            "scope none needs storage vaulted",
        ),
        ("format: card, min: 11, generator: ff1", "fields.f.min", "12"),
        ("format: card, min: 15.0, generator: ff1", "fields.f.min", "whole number"),
        ("format: card, min: 017, generator: ff1", "fields.f.min", "whole number"),
        ("format: card, keep: {last: 5}, generator: ff1", "fields.f.keep.last", "4"),
        ("format: card, keep: {middle: 5}, generator: ff1", "fields.f.keep.middle", "unknown key"),
        ("format: card, keep: {domain: true}, generator: ff1", "fields.f.keep.domain", "option"),
        ("format: email, keep: {domain: yes}, generator: random", "fields.f.keep.domain", "true"),
        ("format: card, token_luhn: maybe, generator: ff1", "fields.f.token_luhn", "invalid"),
        ("format: us_ssn, token_luhn: valid, generator: ff1", "fields.f.token_luhn", "option"),
        ("format: {min: 6}, generator: ff1", "fields.f.format", "has no 'alphabet'"),
        ("format: {alphabet: digits, size: 6}, generator: ff1", "fields.f.format.size", "unknown"),
        (
            "format: {alphabet: digits, min: 6}, min: 7, generator: ff1",
            "fields.f.format.min",
            "also set beside",
        ),
        ("format: {alphabet: aab, min: 30}, generator: ff1", "fields.f.format.alphabet", "repeat"),
        ("format: alphabet, generator: ff1", "fields.f.format", "alphabet"),
        (
            "format: us_ssn, generator: ff1, acknowledge: {ff3_small: true}",
            "fields.f.acknowledge.ff3_small",
            "did you mean 'ff3_1_small_domain'",
        ),
    ],
)
def test_a_field_that_cannot_be_is_refused(body: str, path: str, message: str) -> None:
    problem = field_problem(body)
    assert problem.path == path
    assert message in problem.message
    assert problem.line == 3


@pytest.mark.parametrize(
    ("view", "path", "message"),
    [
        ("full: {show_last: 1}", "full", "built in"),
        ("token: {show_last: 1}", "token", "built in"),
        ("Last: {show_last: 1}", "Last", "lower-case letter"),
        ("v: {}", "v", "shows nothing"),
        ("v: {show_last: -1}", "v.show_last", "whole number"),
        ("v: {shown: 4}", "v.shown", "unknown key"),
        ("v: {show_last: 4, mask: '0'}", "v.mask", "neither a letter nor a digit"),
        ("v: {show_last: 4, mask: '**'}", "v.mask", "one visible character"),
        ("v: {show_last: 4, mask: ' '}", "v.mask", "one visible character"),
    ],
)
def test_a_view_that_cannot_be_is_refused(view: str, path: str, message: str) -> None:
    problem = field_problem(f"format: us_ssn, generator: ff1, views: {{{view}}}")
    assert problem.path == f"fields.f.views.{path}"
    assert message in problem.message


@pytest.mark.parametrize("name", ["Card", "1card", "_card", "card-number", "k" * 64, "card number"])
def test_field_names_are_lower_case_words(name: str) -> None:
    text = policy(f"  {name}: {{format: us_ssn, generator: ff1}}\n")
    assert "must be a lower-case letter" in only_problem(text).message


def test_data_that_nobody_may_keep_is_refused_by_its_name() -> None:
    problem = only_problem(policy("  card_cvv: {format: us_ssn, generator: ff1}\n"))
    assert "card verification code" in problem.message
    assert "PCI DSS" in problem.message


@pytest.mark.parametrize(
    ("body", "domain"),
    [
        ("format: us_ssn, keep: {last: 4}, generator: ff1", "100,000"),
        ("format: card, keep: {first: 6, last: 4}, min: 16, generator: ff1", "100,000"),
        ("format: {alphabet: digits, min: 5, max: 9}, generator: ff1", "100,000"),
        ("format: {alphabet: digits, min: 5, max: 9}, generator: ff3-1", "100,000"),
    ],
)
def test_an_effective_domain_under_a_million_is_refused_for_fpe(body: str, domain: str) -> None:
    problem = field_problem(body)
    assert problem.path == "fields.f.generator"
    assert f"leaves only {domain} tokens" in problem.message


def test_the_least_domain_is_a_million_exactly() -> None:
    made = load(policy("  f: {format: {alphabet: digits, min: 6, max: 9}, generator: ff1}\n"))
    assert made.fields["f"].effective_domain == 1_000_000


def test_random_is_the_way_out_of_a_small_domain() -> None:
    made = load(
        policy("  f: {format: card, keep: {first: 6, last: 4}, min: 16, generator: random}\n")
    )
    assert made.fields["f"].generator is Generator.RANDOM


def test_ff3_1_under_ten_to_the_tenth_needs_an_acknowledgement() -> None:
    body = "format: {alphabet: digits, min: 9, max: 20}, generator: ff3-1"
    problem = field_problem(body)
    assert problem.path == "fields.f.generator"
    assert "1,000,000,000 tokens" in problem.message
    assert "acknowledge: {ff3_1_small_domain: true}" in problem.message
    assert (
        "acknowledge" in field_problem(body + ", acknowledge: {ff3_1_small_domain: false}").message
    )
    made = load(policy(f"  f: {{{body}, acknowledge: {{ff3_1_small_domain: true}}}}\n"))
    assert made.fields["f"].acknowledged == {"ff3_1_small_domain"}
    made = load(policy(f"  f: {{{body.replace('min: 9', 'min: 10')}}}\n"))
    assert made.fields["f"].effective_domain == 10**10


def test_no_acknowledgement_helps_under_a_million() -> None:
    problem = field_problem(
        "format: {alphabet: digits, min: 5, max: 9}, generator: ff3-1, "
        "acknowledge: {ff3_1_small_domain: true}"
    )
    assert "leaves only" in problem.message


def test_a_value_too_long_for_ff3_1_is_refused() -> None:
    problem = field_problem("format: {alphabet: digits, min: 10, max: 57}, generator: ff3-1")
    assert problem.path in {"fields.f.generator", "fields.f.format.max"}
    assert "56" in problem.message


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ("fields: ['*'], allow: [redact]", "roles.r[0].allow[0]", "'redact' is not built yet"),
        ("allow: [manage_keys]", "roles.r[0].allow[0]", "not built yet"),
        ("fields: ['*'], allow: [delete]", "roles.r[0].allow[0]", "is unknown"),
        ("fields: ['*'], allow: tokenize", "roles.r[0].allow", "must be a list"),
        ("fields: ['*'], allow: []", "roles.r[0].allow", "empty list"),
        ("fields: ['*']", "roles.r[0]", "neither allows nor denies"),
        ("fields: ['*'], allow: [tokenize], deny: [tokenize]", "roles.r[0].deny", "allowed and"),
        ("fields: [cards], allow: [tokenize]", "roles.r[0].fields[0]", "did you mean 'card'"),
        ("fields: [card, card], allow: [tokenize]", "roles.r[0].fields[1]", "twice"),
        ("fields: ['*', card], allow: [tokenize]", "roles.r[0].fields", "every field already"),
        ("allow: [tokenize]", "roles.r[0]", "has no 'fields'"),
        ("fields: ['*'], allow: [read_audit]", "roles.r[0]", "rule of its own"),
        ("fields: ['*'], allow: [read_audit, tokenize]", "roles.r[0]", "rule of its own"),
        ("fields: [card], allow: [detokenize]", "roles.r[0]", "has no 'view'"),
        ("fields: [card], allow: [decrypt]", "roles.r[0]", "has no 'view'"),
        ("fields: [card], allow: [decrypt], view: last4", "roles.r[0].view", "its view is full"),
        ("fields: [card], allow: [detokenize], view: last", "roles.r[0].view", "mean 'last4'"),
        (
            "fields: ['*'], allow: [detokenize], view: first6_last4",
            "roles.r[0].view",
            "view of ssn",
        ),
        ("fields: [card], allow: [tokenize], view: full", "roles.r[0].view", "remove it"),
        ("fields: [card], deny: [detokenize], view: full", "roles.r[0].view", "remove it"),
        ("fields: [card], alow: [tokenize]", "roles.r[0].alow", "did you mean 'allow'"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(body: str, path: str, message: str) -> None:
    found = [
        each for each in problems(policy(CARD + SSN, f"  r: [{{{body}}}]\n")) if each.path == path
    ]
    assert len(found) == 1
    assert message in found[0].message


@pytest.mark.parametrize(
    ("entry", "path", "message"),
    [
        (
            f"{{jwt: {GROUP}, spiffe: 'spiffe://a/b', roles: [r]}}",
            "principals[0]",
            "make two entries",
        ),
        ("{spiffe: 'spiffe://a/b', roles: [s]}", "principals[0].roles[0]", "there is no role 's'"),
        ("{spiffe: 'spiffe://a/b', roles: [r, r]}", "principals[0].roles[1]", "twice"),
        ("{spiffe: 'spiffe://a/b', roles: []}", "principals[0].roles", "empty list"),
        ("{spiffe: 'spiffe://a/b'}", "principals[0]", "has no 'roles'"),
        ("{roles: [r]}", "principals[0]", "has neither 'spiffe' nor 'jwt'"),
        (f"{{jwt: {GROUP.replace('https:', 'http:')}, roles: [r]}}", ISSUER_AT, "https://"),
        (f"{{jwt: {GROUP.replace('https:', 'spiffe:')}, roles: [r]}}", ISSUER_AT, "https://"),
        (f"{{jwt: {GROUP.replace('/i', '/i#x')}, roles: [r]}}", ISSUER_AT, "https://"),
        (f"{{jwt: {GROUP.replace('aud,', 'a d,')}, roles: [r]}}", f"{JWT_AT}.audience", "visible"),
        (f"{{jwt: {GROUP.replace('groups', '7')}, roles: [r]}}", f"{JWT_AT}.claim", "in quotes"),
        (f"{{jwt: {GROUP.replace('fraud', '')}, roles: [r]}}", f"{JWT_AT}.value", "must be text"),
        (f"{{jwt: {GROUP.replace('fraud', chr(34) * 2)}, roles: [r]}}", f"{JWT_AT}.value", "empty"),
        (f"{{jwt: {GROUP.replace(', value: fraud', '')}, roles: [r]}}", JWT_AT, "has no 'value'"),
        ("{spiffe: 'spiffe://a', roles: [r]}", "principals[0].spiffe", "SPIFFE ID"),
        ("{spiffe: 'spiffe://a/', roles: [r]}", "principals[0].spiffe", "SPIFFE ID"),
        ("{spiffe: 'spiffe://A/b', roles: [r]}", "principals[0].spiffe", "SPIFFE ID"),
        ("{spiffe: 'spiffe://a/../b', roles: [r]}", "principals[0].spiffe", "SPIFFE ID"),
        ("{spiffe: 'spiffe://a/b?c', roles: [r]}", "principals[0].spiffe", "SPIFFE ID"),
        ("{spiffe: 'spiffe://a//b', roles: [r]}", "principals[0].spiffe", "SPIFFE ID"),
        ("{spiffe: '*', roles: [r]}", "principals[0].spiffe", "SPIFFE ID"),
    ],
)
def test_a_principal_that_cannot_be_is_refused(entry: str, path: str, message: str) -> None:
    text = policy(roles="  r: [{fields: ['*'], allow: [tokenize]}]\n", principals=f"  - {entry}\n")
    problem = only_problem(text)
    assert problem.path == path
    assert message in problem.message


def test_a_group_of_a_jwt_issuer_holds_roles() -> None:
    text = policy(
        roles="  r: [{fields: ['*'], allow: [tokenize]}]\n  s: [{allow: [read_policy]}]\n",
        principals=f"  - {{jwt: {GROUP}, roles: [s, r]}}\n",
    )
    made = load(text)
    fraud = Group("https://idp/i", "aud", "groups", "fraud")
    assert [each.principal for each in made.bindings] == [fraud]
    assert made.roles_of(Principal("https://idp/i", "me", frozenset({fraud}))) == ("r", "s")
    assert made.roles_of(Principal("https://idp/i", "me")) == ()
    for other in (
        fraud._replace(issuer="https://idp/j"),
        fraud._replace(audience="other"),
        fraud._replace(claim="roles"),
        fraud._replace(value="frauds"),
    ):
        assert made.roles_of(Principal("https://idp/i", "me", frozenset({other}))) == ()


def test_a_group_is_listed_once() -> None:
    text = policy(
        roles="  r: [{fields: ['*'], allow: [tokenize]}]\n",
        principals=f"  - {{jwt: {GROUP}, roles: [r]}}\n" * 2,
    )
    assert "here twice" in only_problem(text).message


def test_a_principal_is_listed_once() -> None:
    twice = "  - {spiffe: 'spiffe://a/b', roles: [r]}\n" * 2
    text = policy(roles="  r: [{fields: ['*'], allow: [tokenize]}]\n", principals=twice)
    assert "here twice" in only_problem(text).message


def test_the_token_spec_is_canonical_and_leaves_out_what_does_not_decide_tokens() -> None:
    plain = load(policy("  f: {format: us_ssn, generator: ff1}\n")).fields["f"]
    viewed = load(
        policy("  f: {views: {v: {show_last: 4}}, generator: ff1, format: us_ssn, scope: field}\n")
    ).fields["f"]
    assert plain.token_spec == viewed.token_spec
    read = json.loads(plain.token_spec)
    assert plain.token_spec == json.dumps(read, sort_keys=True, separators=(",", ":"))
    assert (read["generator"], read["storage"], read["scope"]) == ("ff1", "vaulted", "field")


@pytest.mark.parametrize(
    "other",
    [
        "format: us_ssn, generator: random",
        "format: us_ssn, generator: ff1, storage: vaultless",
        "format: us_ssn, generator: ff1, scope: none",
        "format: {alphabet: digits, min: 9, max: 9}, generator: ff1",
        "format: us_ssn, keep: {last: 3}, generator: ff1",
    ],
)
def test_the_token_spec_shows_what_decides_tokens(other: str) -> None:
    specs = {
        load(policy(f"  f: {{{body}}}\n")).fields["f"].token_spec
        for body in ("format: us_ssn, generator: ff1", other)
    }
    assert len(specs) == 2
