"""phone: what is accepted, what a token keeps, and the rules that it rests on."""

from __future__ import annotations

import random

import phonenumbers
import pytest

from vault.errors import FormatError, Reason
from vault.formats import FormatOptionError, OptionValues, build_format, token_recogniser
from vault.formats.catalogue.dialling import (
    REGIONS,
    international_prefix,
    is_valid_number,
    kept_length,
)
from vault.model import Generator, Storage

US = build_format("phone", region="US")
ANY = build_format("phone")


def token(region: str | None, text: str) -> str:
    """Every enciphered digit a 7."""
    made = build_format("phone", region=region)
    parsed = made.parse(text)
    plan = made.token_plan(parsed.core, Storage.VAULTLESS)
    return made.render(plan.build("7" * len(plan.text)), parsed.layout)


@pytest.mark.parametrize(
    ("region", "text", "made"),
    [
        (None, "+14155552671", "+17777777777"),
        ("US", "+1 (415) 555-2671", "+1 (777) 777-7777"),
        ("US", "(415) 555-2671", "(477) 777-7777"),
        ("US", "1-415-555-2671", "1-777-777-7777"),
        ("US", "011 49 30 901820", "011 49 77 777777"),
        ("DE", "030/901820", "037/777777"),
        ("DE", "0049 30 901820", "0049 77 777777"),
        ("IT", "06 698 57000", "06 777 77777"),
        ("RU", "8 (999) 739-60-69", "8 (977) 777-77-77"),
        ("JP", "011-231-1111", "011-777-7777"),
        (None, "+353 1 234 5678", "+353 7 777 7777"),
        (None, "+44 (0)20 7946 0958", "+44 (7)77 7777 7777"),
    ],
)
def test_a_token_keeps_the_country_and_how_the_number_is_dialled(
    region: str | None, text: str, made: str
) -> None:
    assert token(region, text) == made


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("", Reason.VALUE_TOO_SHORT, "no digit"),
        ("()", Reason.VALUE_TOO_SHORT, "no digit"),
        ("911", Reason.VALUE_TOO_SHORT, "fewer than 6"),
        ("+1 415", Reason.VALUE_TOO_SHORT, "fewer than 6"),
        ("+1 015 555 2671", Reason.VALUE_NOT_IN_FORMAT, "no such phone number in the country"),
        ("015 555 2671", Reason.VALUE_NOT_IN_FORMAT, "no such phone number in US"),
        ("1-800-FLOWERS", Reason.VALUE_NOT_IN_FORMAT, "letters go into a field of their own"),
        ("415 555 2671 x12", Reason.VALUE_NOT_IN_FORMAT, "extensions"),
        ("４１５ 555 2671", Reason.VALUE_NOT_IN_FORMAT, "digits 0-9"),
        ("\u202d+1 415 555 2671", Reason.VALUE_NOT_IN_FORMAT, "digits 0-9"),
        ("415 555 + 2671", Reason.VALUE_NOT_IN_FORMAT, "leading +"),
        ("4" * 25, Reason.VALUE_TOO_LONG, "20 digits"),
        ("4 " * 25, Reason.VALUE_TOO_LONG, "40 characters"),
    ],
)
def test_what_is_no_phone_number_is_refused(text: str, reason: Reason, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        US.parse(text)
    assert caught.value.reason is reason


def test_a_national_number_needs_a_region() -> None:
    with pytest.raises(FormatError, match="set the region"):
        ANY.parse("415 555 2671")


def test_a_number_that_cannot_exist_is_drawn_where_the_policy_says_so() -> None:
    made = build_format("phone", region="US", invalid="random")
    parsed = made.parse("015-555-2671")
    plan = made.random_plan(parsed.core, 0)
    assert made.render(plan.build("7" * plan.length), parsed.layout) == "015-777-7777"
    assert made.check_generator(Generator.RANDOM, Storage.VAULTED) is None
    wrong = made.check_generator(Generator.FF1, Storage.VAULTED)
    assert wrong is not None
    assert "generator random" in wrong


@pytest.mark.parametrize("text", ["+1 015 555 2671", "015 555 2671", "+999 123456"])
def test_a_number_that_the_tables_do_not_know_is_told_what_takes_it(text: str) -> None:
    with pytest.raises(FormatError, match="invalid: random") as caught:
        US.parse(text)
    assert caught.value.reason is Reason.VALUE_NOT_IN_FORMAT


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("+1 015 555 2671", True),
        ("015-555-2671", True),
        ("011 49 30 001820", True),
        ("+49 30 001820", True),
        ("+1 015 555 267", False),
        ("+1 015 555 26711", False),
        ("015 555 2671 0001", False),
        ("+999 123456", False),
        ("1234567", False),
        ("not a number", False),
    ],
)
def test_only_what_a_token_can_look_like_is_recognised_as_one(text: str, like: bool) -> None:
    recognise = token_recogniser(US)
    if like:
        recognise(text)
    else:
        with pytest.raises(FormatError):
            recognise(text)


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_tokens_of_example_numbers_are_recognised(region: str) -> None:
    example = phonenumbers.example_number(region)
    assert example is not None
    made = build_format("phone", region=region, min=1)
    text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    core = made.parse(text).core
    plan = made.token_plan(core, Storage.VAULTED)
    for digits in ("7" * len(plan.text), "1234567890" * 2):
        token_recogniser(made)(plan.build(digits[: len(plan.text)]))


def test_min_counts_the_digits_really_enciphered() -> None:
    made = build_format("phone", min=10)
    assert made.effective_domain(Generator.FF3_1, Storage.VAULTED) == 10**10
    made.parse("+14155552671")
    with pytest.raises(FormatError, match="fewer than 10"):
        made.parse("+498909070")


def test_the_country_is_a_part_of_international_numbers() -> None:
    assert isinstance(US, type(ANY))
    spans = [
        made.spans(made.parse(text).core)["country"]
        for made, text in ((US, "+1 415 555 2671"), (US, "011 49 30 901820"), (US, "4155552671"))
        if hasattr(made, "spans")
    ]
    assert spans == [(0, 2), (0, 5), (0, 0)]


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"region": "USA"}, "region"),
        ({"region": "us"}, "region"),
        ({"min": 0}, "min"),
        ({"min": 21}, "min"),
        ({"max": 9}, "max"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: OptionValues, option: str) -> None:
    with pytest.raises(FormatOptionError) as caught:
        build_format("phone", **options)
    assert caught.value.option == option


def test_country_codes_end_where_the_numbering_tables_say() -> None:
    for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        assert kept_length(f"+{code}0000000", "") == 1 + len(str(code))


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_example_numbers_are_accepted_and_read_alike_as_tokens(region: str) -> None:
    example = phonenumbers.example_number(region)
    assert example is not None
    made = build_format("phone", region=region, min=1)
    kinds = phonenumbers.PhoneNumberFormat
    for kind in (kinds.E164, kinds.INTERNATIONAL, kinds.NATIONAL):
        text = phonenumbers.format_number(example, kind)
        core = made.parse(text).core
        plan = made.token_plan(core, Storage.VAULTLESS)
        for digit in "0179":
            token_core = plan.build(digit * len(plan.text))
            assert made.value_plan(token_core).build(plan.text) == core


def test_an_international_prefix_that_is_a_pattern_is_left_alone() -> None:
    assert [international_prefix(region) for region in ("US", "DE", "AU")] == ["011", "00", ""]


def dialled(rng: random.Random, region: str) -> str:
    """An example number, national or international, with some digits changed."""
    example = phonenumbers.example_number_for_type(region, rng.randrange(11))
    text = "5555555"
    if example is not None:
        kind = rng.choice(["E164", "NATIONAL"])
        written = phonenumbers.format_number(example, getattr(phonenumbers.PhoneNumberFormat, kind))
        text = "".join([c for c in written if c in "+0123456789"])
    digits = list(text)
    for _ in range(rng.randrange(4)):
        digits[rng.randrange(1, len(digits))] = rng.choice("0123456789")
    if rng.random() < 0.2:
        digits.insert(rng.randrange(1, len(digits)), rng.choice("01"))
    return "".join(digits)


def test_numbers_exist_just_as_the_oracle_says() -> None:
    rng = random.Random(7)
    outcomes = set()
    for region in sorted(REGIONS):
        for _ in range(40):
            number = dialled(rng, region)
            try:
                expected = phonenumbers.is_valid_number(phonenumbers.parse(number, region))
            except phonenumbers.NumberParseException:
                expected = False
            assert is_valid_number(number, region) == expected, (number, region)
            outcomes.add(expected)
    assert outcomes == {True, False}
