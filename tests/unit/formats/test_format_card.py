from __future__ import annotations

import itertools

import pytest

from vault.errors import FormatError, Reason
from vault.formats import Format, FormatOptionError, OptionValues, build_format
from vault.formats.base.luhn import luhn_sum
from vault.formats.catalogue.card import TokenLuhn
from vault.model import Generator, Storage

VISA = "4111111111111111"
AMEX = "378282246310005"


def card(
    *,
    low: int | None = None,
    high: int | None = None,
    first: int = 0,
    last: int = 0,
    luhn: TokenLuhn | None = None,
) -> Format:
    return build_format(
        "card", min=low, max=high, keep_first=first, keep_last=last, token_luhn=luhn
    )


@pytest.mark.parametrize(
    "text",
    [
        VISA,
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        AMEX,
        "3782 822463 10005",
        " 4111111111111111-",
    ],
)
def test_a_value_is_its_digits_and_its_separators(text: str) -> None:
    parsed = card().parse(text)
    assert parsed.core == text.replace(" ", "").replace("-", "")
    assert card().render(parsed.core, parsed.layout) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        (" - ", Reason.VALUE_TOO_SHORT),
        ("41111111111", Reason.VALUE_TOO_SHORT),
        ("4" * 20, Reason.VALUE_TOO_LONG),
        ("4111" + " " * 40 + "111111111111", Reason.VALUE_TOO_LONG),
        ("4111111111111112", Reason.VALUE_NOT_IN_FORMAT),
        ("4111_1111_1111_1111", Reason.VALUE_NOT_IN_FORMAT),
        ("٤١١١١١١١١١١١١١١١", Reason.VALUE_NOT_IN_FORMAT),
        ("4111111111111¹¹¹", Reason.VALUE_NOT_IN_FORMAT),
        ("4111111111111111\n", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_no_card_is_refused_without_a_quote(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        card().parse(text)
    assert caught.value.reason is reason
    assert "4111" not in caught.value.message


def test_min_and_max_narrow_what_is_accepted() -> None:
    narrow = card(low=15, high=15)
    assert narrow.parse(AMEX).core == AMEX
    with pytest.raises(FormatError) as caught:
        narrow.parse(VISA)
    assert caught.value.reason is Reason.VALUE_TOO_LONG
    with pytest.raises(FormatError) as caught:
        narrow.parse("4222222222222")
    assert caught.value.reason is Reason.VALUE_TOO_SHORT


def test_the_luhn_failure_says_so() -> None:
    with pytest.raises(FormatError, match="fails the Luhn check"):
        card().parse("4111111111111112")


@pytest.mark.parametrize(("luhn", "total"), [(None, 1), ("invalid", 1), ("valid", 0)])
@pytest.mark.parametrize("first", [0, 6, 8])
@pytest.mark.parametrize("last", range(5))
@pytest.mark.parametrize("core", [VISA, AMEX])
def test_a_token_keeps_what_is_kept_and_has_its_luhn_sum(
    luhn: TokenLuhn | None, total: int, first: int, last: int, core: str
) -> None:
    made = card(low=15, first=first, last=last, luhn=luhn)
    plan = made.token_plan(core, Storage.VAULTED)
    assert len(plan.text) == len(core) - 1 - first - last
    token = plan.build("9" * len(plan.text))
    assert len(token) == len(core)
    assert token[:first] == core[:first]
    assert token[len(core) - last :] == core[len(core) - last :]
    assert plan.kept == core[:first] + core[len(core) - last :]
    assert luhn_sum(token) == total
    assert made.parse_token(token).core == token


@pytest.mark.parametrize("luhn", ["valid", "invalid", "any"])
@pytest.mark.parametrize("last", [0, 3, 4])
def test_deciphering_plans_undo_enciphering_plans(luhn: TokenLuhn, last: int) -> None:
    made = card(last=last, luhn=luhn)
    plan = made.token_plan(VISA, Storage.VAULTLESS)
    token = plan.build(plan.text[::-1])
    back = made.value_plan(token)
    assert (back.text, back.kept) == (plan.text[::-1], plan.kept)
    assert back.build(back.text[::-1]) == VISA


@pytest.mark.parametrize(("luhn", "last"), [("invalid", 0), ("invalid", 3), ("valid", 4)])
def test_tokens_are_a_bijection_of_the_values(luhn: TokenLuhn, last: int) -> None:
    made = card(low=12, high=12, first=6, last=last, luhn=luhn)
    free = 12 - 6 - last - 1
    values = [
        made.value_plan("411111" + "0" * free + "0" + "1" * last).build("".join(digits))
        for digits in itertools.islice(itertools.product("0123456789", repeat=free), 1000)
    ]
    assert len(set(values)) == len(values)
    tokens = {
        plan.build(plan.text)
        for plan in (made.token_plan(made.parse(value).core, Storage.VAULTED) for value in values)
    }
    assert len(tokens) == len(values)


def test_random_tokens_follow_the_same_rules() -> None:
    plan = card(last=4).random_plan(VISA, 0)
    token = plan.build("7" * plan.length)
    assert len(token) == 16
    assert token.endswith("1111")
    assert luhn_sum(token) == 1
    assert card(luhn="any").random_plan(VISA, 0).length == 16


@pytest.mark.parametrize("text", ["", "abc", VISA, "4111111111", "4" * 40, "41111111111111x2"])
def test_what_no_token_looks_like_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        card().parse_token(text)


def test_tokens_outlive_a_narrower_min_and_max() -> None:
    token = "4111111111111112"
    narrow = card(low=15, high=15)
    assert narrow.parse_token(token).core == token
    with pytest.raises(FormatError):
        narrow.value_plan(token)


def test_the_token_may_be_told_from_a_number_that_passes() -> None:
    assert luhn_sum("4111111111111112") == 1
    assert card().parse_token("4111 1111 1111 1112").core == "4111111111111112"
    with pytest.raises(FormatError):
        card(luhn="valid").parse_token("4111111111111112")


@pytest.mark.parametrize(
    ("made", "domain"),
    [
        (card(), 10**11),
        (card(low=15, last=4), 10**10),
        (card(low=16, first=6, last=4), 10**5),
        (card(low=16, first=6, last=4, luhn="any"), 10**5),
        (card(low=16, first=6), 10**9),
    ],
)
def test_effective_domain_counts_off_what_is_kept_and_the_check_digit(
    made: Format, domain: int
) -> None:
    for generator in Generator:
        assert made.effective_domain(generator, Storage.VAULTED) == domain


def test_check_generator() -> None:
    for generator in Generator:
        assert card().check_generator(generator, Storage.VAULTED) is None
    assert card().check_generator(Generator.FF1, Storage.VAULTLESS) is None
    assert "vaulted" in str(card().check_generator(Generator.RANDOM, Storage.VAULTLESS))
    assert "vaulted" in str(card(luhn="any").check_generator(Generator.FF1, Storage.VAULTLESS))


@pytest.mark.parametrize(
    ("option", "options"),
    [
        ("min", {"min": 11}),
        ("min", {"min": 20}),
        ("max", {"max": 20}),
        ("max", {"min": 16, "max": 15}),
        ("keep_first", {"keep_first": 4}),
        ("keep_first", {"keep_first": 8, "keep_last": 4}),
        ("keep_last", {"keep_last": 5}),
        ("keep_last", {"keep_last": -1}),
        ("alphabet", {"alphabet": "digits"}),
        ("separators", {"separators": "/"}),
        ("keep_domain", {"keep_domain": True}),
        ("token_luhn", {"token_luhn": "maybe"}),
    ],
)
def test_options_that_do_not_fit_are_named(option: str, options: OptionValues) -> None:
    with pytest.raises(FormatOptionError) as caught:
        build_format("card", **options)
    assert caught.value.option == option


def test_the_token_spec_has_what_decides_tokens_and_no_bounds() -> None:
    assert card(last=4).token_spec() == card(low=15, last=4).token_spec()
    specs = [card(), card(first=6), card(last=4), card(luhn="valid"), card(luhn="any")]
    assert len({tuple(made.token_spec().items()) for made in specs}) == len(specs)
