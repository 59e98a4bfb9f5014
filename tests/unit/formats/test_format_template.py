"""template: the grammar, what is ambiguous, and what a token keeps."""

from __future__ import annotations

import time

import pytest

from vault.errors import FormatError, Reason
from vault.formats import FormatOptionError, build_format
from vault.formats.catalogue.template import Template, TemplateOptions
from vault.model import Generator, Storage


def build(template: str) -> Template:
    return Template(TemplateOptions(template=template))


ACCOUNT = build("AC-{branch:digits:4}[ -]{serial:digits:4-8}/{kind:upper:2:keep}")


@pytest.mark.parametrize("text", ["AC-1234567890/EU", "AC-1234 567890/EU", "AC-1234-567890/EU"])
def test_groups_are_enciphered_and_the_rest_stays(text: str) -> None:
    parsed = ACCOUNT.parse(text)
    assert parsed.core == "AC-1234567890/EU"
    plan = ACCOUNT.token_plan(parsed.core, Storage.VAULTLESS)
    assert plan.text == "1234567890"
    token = ACCOUNT.render(plan.build("0000111111"), parsed.layout)
    assert token == text.replace("1234", "0000").replace("567890", "111111")
    assert ACCOUNT.render(parsed.core, ACCOUNT.parse_token(token).layout) == text


def test_what_is_kept_is_in_the_tweak_with_the_lengths_of_groups() -> None:
    made = build("{a:digits:1-4}-{b:digits:4-9}")
    kept = {made.token_plan(core, Storage.VAULTED).kept for core in ("12-34567", "1-234567")}
    assert len(kept) == 2
    other = {
        ACCOUNT.token_plan(f"AC-12345678/{kind}", Storage.VAULTED).kept for kind in ("EU", "US")
    }
    assert len(other) == 2


def test_groups_have_names_that_views_can_show() -> None:
    core = ACCOUNT.parse("AC-1234 567890/EU").core
    spans = ACCOUNT.spans(core)
    assert {name: core[slice(*span)] for name, span in spans.items()} == {
        "branch": "1234",
        "serial": "567890",
        "kind": "EU",
    }
    assert ACCOUNT.parts == ("branch", "serial", "kind")
    assert ACCOUNT.spans("???") == {}


def test_the_domain_and_the_generators() -> None:
    assert ACCOUNT.effective_domain(Generator.FF1, Storage.VAULTED) == 10**8
    assert ACCOUNT.check_generator(Generator.FF3_1, Storage.VAULTLESS) is None
    mixed = build("{a:upper:2}-{b:digits:6}")
    assert mixed.effective_domain(Generator.RANDOM, Storage.VAULTED) == 676 * 10**6
    assert "one alphabet" in str(mixed.check_generator(Generator.FF1, Storage.VAULTED))
    assert mixed.check_generator(Generator.RANDOM, Storage.VAULTED) is None
    plan = mixed.random_plan("AB-123456", 0)
    assert plan.build("0" * plan.length) == "AA-000000"
    long = build("{a:digits:20-57}")
    assert "at most 56" in str(long.check_generator(Generator.FF3_1, Storage.VAULTED))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("AC-1234567890123/EU", Reason.VALUE_NOT_IN_FORMAT),
        ("AC-1234 5678901234567/EU", Reason.VALUE_TOO_LONG),
        ("AC-1234  567890/EU", Reason.VALUE_NOT_IN_FORMAT),
        ("ac-1234 567890/EU", Reason.VALUE_NOT_IN_FORMAT),
        ("AC-1234 567890/EU\n", Reason.VALUE_NOT_IN_FORMAT),
        ("AC-１２３４ 567890/EU", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_does_not_match_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        ACCOUNT.parse(text)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "write the template"),
        ("AC-1", "no group to encipher"),
        ("{a:digits:6:keep}", "no group to encipher"),
        ("{a:digits:6", "character 1"),
        ("x{A:digits:6}", "character 2"),
        ("{a:digits:0}", "lengths"),
        ("{a:digits:6-4}", "lengths"),
        ("{a:digits:513}", "lengths"),
        ("{a:digits:300}{b:digits:300}", "more than 512"),
        ("{a:digit:6}", "did you mean digits"),
        ("{a:aa:6}", "repeat"),
        ("{a:digits:3}{a:digits:3}", "one name"),
        ("{a:digits:3-6}{b:digits:3}", "no fixed length"),
        ("{a:digits:3-6}[-]{b:hex_lower:3}", "no fixed length"),
        ("{a:digits:3-6}7", "no fixed length"),
        ("{a:digits:6}[0]", "punctuation"),
        ("{a:digits:6}[x]", "punctuation"),
        ("{a:01-:6}[-]", "in the alphabet"),
        ("{a:digits:6}[-]-", "could be the character after"),
        ("{a:digits:6}[-][ ]", "could be the character after"),
    ],
)
def test_a_template_that_cannot_be_is_refused(template: str, message: str) -> None:
    with pytest.raises(FormatOptionError, match=message) as caught:
        build_format("template", template=template)
    assert caught.value.option == "template"


def test_brackets_are_doubled_and_characters_may_be_anything() -> None:
    made = build("{{[[{a:]^\\-:6}]]}}")
    parsed = made.parse("{[]^\\-]^]}")
    assert made.token_plan(parsed.core, Storage.VAULTED).text == "]^\\-]^"


def test_lengths_and_optional_characters_may_change_while_tokens_live() -> None:
    before, after = build("A{a:digits:6-8}"), build("A[-]{a:digits:4-12}")
    assert before.token_spec() == after.token_spec()
    assert before.token_spec() != build("A{a:hex_lower:6-8}").token_spec()
    assert before.token_spec() != build("B{a:digits:6-8}").token_spec()


def test_matching_is_linear() -> None:
    made = build("".join([f"{{g{n}:digits:1-9}}[ ]-" for n in range(40)]) + "!")
    text = "123456789 -" * 40 + "?"
    start = time.perf_counter()
    with pytest.raises(FormatError):
        made.parse(text)
    assert time.perf_counter() - start < 0.1
