"""integer, decimal, uuid and ipv4."""

from __future__ import annotations

import pytest

from vault.errors import FormatError, Reason
from vault.formats import FormatOptionError, build_format
from vault.model import Generator, Storage

INTEGER = build_format("integer", max=6)
DECIMAL = build_format("decimal", max=4)
UUID = build_format("uuid")
IPV4 = build_format("ipv4")


@pytest.mark.parametrize(
    ("core", "text", "made", "token"),
    [
        ("42", "000042", "000917", "917"),
        ("0", "000000", "000000", "0"),
        ("999999", "999999", "123456", "123456"),
        ("-1", "000000", "999999", "-1000000"),
        ("-1000000", "999999", "000000", "-1"),
    ],
)
def test_an_integer_is_any_number_of_its_digits(
    core: str, text: str, made: str, token: str
) -> None:
    plan = INTEGER.token_plan(INTEGER.parse(core).core, Storage.VAULTLESS)
    assert plan.text == text
    assert plan.build(made) == token
    assert INTEGER.value_plan(token).build(plan.text) == core


def test_a_decimal_keeps_its_places() -> None:
    plan = DECIMAL.token_plan(DECIMAL.parse("12.50").core, Storage.VAULTLESS)
    assert plan.text == "001250"
    assert plan.build("000007") == "0.07"
    assert plan.build("987654") == "9876.54"
    assert DECIMAL.token_plan("12.50", Storage.VAULTED).kept != (
        DECIMAL.token_plan("12.5", Storage.VAULTED).kept
    )
    assert DECIMAL.token_plan("-0.01", Storage.VAULTED).build("999999") == "-10000.00"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("-", Reason.VALUE_NOT_IN_FORMAT),
        ("-0", Reason.VALUE_NOT_IN_FORMAT),
        ("+1", Reason.VALUE_NOT_IN_FORMAT),
        ("007", Reason.VALUE_NOT_IN_FORMAT),
        ("1,000", Reason.VALUE_NOT_IN_FORMAT),
        ("1e3", Reason.VALUE_NOT_IN_FORMAT),
        ("٣", Reason.VALUE_NOT_IN_FORMAT),
        ("1\n", Reason.VALUE_NOT_IN_FORMAT),
        ("1000000", Reason.VALUE_TOO_LONG),
        ("-1000001", Reason.VALUE_TOO_LONG),
        ("9" * 5000, Reason.VALUE_TOO_LONG),
    ],
)
def test_what_is_no_integer_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        INTEGER.parse(text)
    assert caught.value.reason is reason


@pytest.mark.parametrize("text", ["-0.00", ".5", "5.", "1.2.3", "1,5", "$1", "0." + "1" * 19])
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        DECIMAL.parse(text)


def test_digits_bound_the_domain() -> None:
    assert INTEGER.effective_domain(Generator.FF1, Storage.VAULTED) == 10**6
    for name, most in (("integer", 39), ("decimal", 0)):
        with pytest.raises(FormatOptionError) as caught:
            build_format(name, max=most)
        assert caught.value.option == "max"


V4 = "0f8fad5b-d9cb-469f-a165-70867728950e"


def test_a_uuid_token_keeps_the_version_and_always_has_a_letter() -> None:
    core = UUID.parse(V4).core
    token = UUID.token_plan(core, Storage.VAULTED).build("1" * 30)
    assert UUID.render(token, UUID.parse(V4).layout) == "11111111-1111-4111-a111-111111111111"
    upper = UUID.parse(V4.upper())
    assert upper.core == core
    made = UUID.parse_token(UUID.render(token, upper.layout))
    assert UUID.render(core, made.layout) == V4.upper()


def test_a_vaultless_uuid_keeps_its_variant_and_is_of_one_case() -> None:
    assert "set case" in str(UUID.check_generator(Generator.FF1, Storage.VAULTLESS))
    upper = build_format("uuid", case="upper")
    assert upper.check_generator(Generator.FF1, Storage.VAULTLESS) is None
    with pytest.raises(FormatError, match="upper case"):
        upper.parse(V4)
    digits = upper.parse("1" * 32)
    assert upper.render("a" * 32, digits.layout) == "A" * 32
    plan = upper.token_plan(UUID.parse(V4).core, Storage.VAULTLESS)
    assert plan.kept == "4a"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        (V4[:-1], Reason.VALUE_TOO_SHORT),
        (V4 + "0", Reason.VALUE_TOO_LONG),
        (V4 * 2, Reason.VALUE_TOO_LONG),
        (V4[:-1] + "g", Reason.VALUE_NOT_IN_FORMAT),
        (V4[:-1] + "E", Reason.VALUE_NOT_IN_FORMAT),
        ("{" + V4, Reason.VALUE_NOT_IN_FORMAT),
        (V4 + "}", Reason.VALUE_NOT_IN_FORMAT),
        (V4.replace("-", "", 1), Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_no_uuid_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        UUID.parse(text)
    assert caught.value.reason is reason


def test_an_address_is_thirty_two_bits() -> None:
    plan = IPV4.token_plan(IPV4.parse("192.168.0.1").core, Storage.VAULTLESS)
    assert plan.text == "c0a80001"
    assert plan.build("00ff10fe") == "0.255.16.254"
    assert IPV4.effective_domain(Generator.FF1, Storage.VAULTLESS) == 2**32
    kept = build_format("ipv4", keep_first=1)
    assert kept.token_plan("10.20.30.40", Storage.VAULTLESS).build("ffffff") == "10.255.255.255"


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4\n", "1.2.3.٤", "::1"]
)
def test_what_is_no_ipv4_address_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        IPV4.parse(text)
