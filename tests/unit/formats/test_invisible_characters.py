"""What nobody sees in a value that was refused, and what is no such thing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from vault.errors import FormatError
from vault.formats import OptionValues, build_format
from vault.formats.base.invisible_characters import invisible_character_hint

BEFORE_OR_AFTER = "before or after"
WITHIN = "only looks like another"


def takes(pattern: str) -> Callable[[str], object]:
    def parse(text: str) -> object:
        if re.fullmatch(pattern, text) is None:
            raise FormatError("no")
        return text

    return parse


def found_in(text: str, parse: Callable[[str], object]) -> str | None:
    with pytest.raises(FormatError) as refusal:
        parse(text)
    return invisible_character_hint(text, refusal.value, parse)


NUMBER = takes(r"-?[0-9]+(?:[ -][0-9]+)*")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" 42", BEFORE_OR_AFTER),
        ("42\n", BEFORE_OR_AFTER),
        ("\ufeff4111", BEFORE_OR_AFTER),
        ("4111\u200b", BEFORE_OR_AFTER),
        ("\u00a04111", BEFORE_OR_AFTER),
        ("4111\x00", BEFORE_OR_AFTER),
        ("4111\ufe0f", BEFORE_OR_AFTER),
        ("4111\u034f", BEFORE_OR_AFTER),
        ("4111\u3164", BEFORE_OR_AFTER),
        ("4111\u2800", BEFORE_OR_AFTER),
        ("4111\u20071111", WITHIN),
        ("4111\u00a01111", WITHIN),
        ("4111\t1111", WITHIN),
        ("4111\u200b1111", WITHIN),
        ("4111\u20141111", WITHIN),
        ("4111\u20111111", WITHIN),
        ("\u221242", WITHIN),
        ("\uff14\uff11\uff11\uff11", WITHIN),
        ("\u0664\u0661", WITHIN),
        (" 41\u00a011", WITHIN),
    ],
)
def test_it_is_named_without_saying_which(text: str, says: str) -> None:
    found = found_in(text, NUMBER)
    assert found is not None
    assert says in found
    assert text.strip() not in found


@pytest.mark.parametrize(
    "text",
    ["", " ", "4111 x", " x", "x\u200b", "41\u201311x", "\u00dcnal", "\u674e", "x_y", "x" * 2000],
)
def test_nothing_is_said_where_it_is_not_the_cause(text: str) -> None:
    assert found_in(text, NUMBER) is None
    assert found_in(f" {text}", NUMBER) is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("iban", {}), "D\u041589370400440532013000"),
        (("document_number", {}), "\u0410B1234567"),
        (("phone", {}), "\uff0b14155552671"),
        (("email", {}), "a\uff20x.org"),
        (("integer", {}), "\u221242"),
        (("uuid", {}), "123e4567\u2011e89b\u201112d3\u2011a456\u2011426614174000"),
        (("ipv4", {}), "10.0.\u200b0.1"),
    ],
)
def test_it_is_found_in_the_formats(options: tuple[str, OptionValues], text: str) -> None:
    name, rest = options
    assert WITHIN in (found_in(text, build_format(name, **rest).parse) or "")


def test_a_blank_is_named_where_it_is_the_first_of_two_causes() -> None:
    card = build_format("card")
    assert BEFORE_OR_AFTER in (found_in("4111111111111112\n", card.parse) or "")
    assert found_in(" 4111111111111112", card.parse) is None


def test_a_field_of_other_digits_is_not_told_that_they_only_look_like_digits() -> None:
    devanagari = takes("[\u0966-\u096f]{10}")
    assert found_in("\u0966\u0967\u0968", devanagari) is None
