"""date: layouts, windows, and what is refused."""

from __future__ import annotations

import pytest

from vault.errors import FormatError, Reason
from vault.formats import FormatOptionError, OptionValues, build_format
from vault.formats.catalogue.date import DateOrder
from vault.model import Generator, Storage

ISO = build_format("date")


@pytest.mark.parametrize(
    ("order", "text", "made"),
    [
        ("ymd", "2024-02-29", "0600-01-02"),
        ("ymd", "2024/2/29", "0600/01/02"),
        ("ymd", "20240229", "06000102"),
        ("dmy", "29.2.2024", "02.01.0600"),
        ("dmy", "29 02 2024", "02 01 0600"),
        ("mdy", "2/29/2024", "01/02/0600"),
    ],
)
def test_a_token_is_a_date_of_the_same_layout(order: DateOrder, text: str, made: str) -> None:
    date = build_format("date", order=order)
    parsed = date.parse(text)
    token = date.token_plan(parsed.core, Storage.VAULTED).build("000001")
    assert date.render(token, parsed.layout) == made
    assert date.render(parsed.core, date.parse_token(made).layout) == text


def test_the_default_window_is_a_million_days() -> None:
    assert ISO.effective_domain(Generator.FF1, Storage.VAULTED) == 1_000_000
    assert ISO.token_plan(ISO.parse("0600-01-01").core, Storage.VAULTED).text == "000000"
    assert ISO.token_plan(ISO.parse("3337-11-27").core, Storage.VAULTED).text == "999999"
    for text in ("0599-12-31", "3337-11-28"):
        with pytest.raises(FormatError, match="0600-01-01 to 3337-11-27"):
            ISO.parse(text)


def test_another_window_is_for_random_tokens() -> None:
    century = build_format("date", earliest="1900-01-01", latest="1999-12-31")
    assert century.effective_domain(Generator.RANDOM, Storage.VAULTED) == 36_524
    assert century.check_generator(Generator.RANDOM, Storage.VAULTED) is None
    assert "1,000,000 days" in str(century.check_generator(Generator.FF1, Storage.VAULTED))
    assert "vaulted" in str(ISO.check_generator(Generator.FF1, Storage.VAULTLESS))
    plan = century.random_plan("19500101", 0)
    assert plan.build("0" * plan.length) == "19000101"
    assert plan.build(f"{36_523:0{plan.length}x}") == "19991231"
    late = build_format("date", earliest="9000-01-01")
    late.parse("9999-12-31")


def test_two_spellings_of_a_day_are_two_values() -> None:
    plain, padded = ISO.parse("2024-3-7").core, ISO.parse("2024-03-07").core
    assert plain != padded
    plans = [ISO.token_plan(core, Storage.VAULTED) for core in (plain, padded)]
    assert plans[0].text == plans[1].text
    assert plans[0].kept != plans[1].kept


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("2023-02-29", Reason.VALUE_NOT_IN_FORMAT),
        ("2024-13-01", Reason.VALUE_NOT_IN_FORMAT),
        ("0000-01-01", Reason.VALUE_NOT_IN_FORMAT),
        ("2024-02/29", Reason.VALUE_NOT_IN_FORMAT),
        ("24-02-29", Reason.VALUE_NOT_IN_FORMAT),
        ("2024229", Reason.VALUE_NOT_IN_FORMAT),
        ("29.02.2024", Reason.VALUE_NOT_IN_FORMAT),
        ("２０２４-02-29", Reason.VALUE_NOT_IN_FORMAT),
        ("2024-02-29\n", Reason.VALUE_NOT_IN_FORMAT),
        ("2024-02-29T12:00:00Z", Reason.VALUE_TOO_LONG),
    ],
)
def test_what_is_no_date_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        ISO.parse(text)
    assert caught.value.reason is reason
    assert caught.value.__cause__ is None


def test_a_token_has_months_and_days_of_two_digits() -> None:
    with pytest.raises(FormatError):
        ISO.parse_token("2024-3-7")


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"earliest": "01.01.1900"}, "earliest"),
        ({"earliest": "1900-02-30"}, "earliest"),
        ({"latest": "0600-01-01"}, "latest"),
        ({"region": "US"}, "region"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: OptionValues, option: str) -> None:
    with pytest.raises(FormatOptionError) as caught:
        build_format("date", **options)
    assert caught.value.option == option


def test_there_is_nothing_to_decipher() -> None:
    with pytest.raises(ValueError, match="vaultless"):
        ISO.value_plan("20240229")


@pytest.mark.parametrize("text", ["2000-07-13", "2000-7-13"])
def test_a_date_is_never_its_own_token_however_it_is_written(text: str) -> None:
    made = build_format("date", earliest="2000-07-13", latest="2000-07-14")
    core = made.parse(text).core
    plan = made.random_plan(core, 0)
    drawn = {plan.build(f"{number:0{plan.length}x}") for number in range(2)}
    # Who makes tokens passes over the one that equals the core, and draws again.
    assert drawn == {core, "20000714"}
    million = build_format("date")
    core = million.parse(text).core
    same = million.token_plan(core, Storage.VAULTED)
    assert same.build(same.text) == core
