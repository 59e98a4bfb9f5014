"""iban, us_routing, vin, us_itin, the SSN that is none, postcode and document_number.

python-stdnum is the oracle of what is valid.
"""

from __future__ import annotations

import pytest
import stdnum.iban
import stdnum.us.itin
import stdnum.us.rtn
import stdnum.us.ssn
from stdnum import numdb

from vault.errors import FormatError, Reason
from vault.formats import FormatOptionError, OptionValues, build_format
from vault.formats.base.check_digits import TokenCheck, iban_check, vin_check
from vault.model import Generator, Storage

IBANS = [
    "DE89 3704 0044 0532 0130 00",
    "GB82 WEST 1234 5698 7654 32",
    "FR14 2004 1010 0505 0001 3M02 606",
    "NL91ABNA0417164300",
    "NO93 8601 1117 947",
    "MT84MALT011000012345MTLCAST001S",
    "nl91 abna 0417 1643 00",
]
IBAN = build_format("iban")


@pytest.mark.parametrize("text", IBANS)
@pytest.mark.parametrize("check", ["valid", "invalid"])
def test_an_iban_token_is_of_the_same_country_and_valid_or_never(
    text: str, check: TokenCheck
) -> None:
    made = build_format("iban", token_check=check)
    parsed = made.parse(text)
    plan = made.token_plan(parsed.core, Storage.VAULTLESS)
    token = made.render(plan.build("7" * len(plan.text)), parsed.layout)
    assert token[:2] == text[:2]
    assert stdnum.iban.is_valid(token, check_country=False) == (check == "valid")
    assert made.value_plan(made.parse_token(token).core).kept == plan.kept
    random = made.random_plan(parsed.core, 0)
    made.parse_token(made.render(random.build("5" * random.length), parsed.layout))


def test_check_digits_are_those_of_the_oracle() -> None:
    for number in range(300):
        account = f"{number * 7_919:018d}"
        assert stdnum.iban.is_valid(f"DE{iban_check('de', account)}{account}")
        wrong = iban_check("de", account, wrong=True)
        assert 2 <= int(wrong) <= 98
        assert not stdnum.iban.is_valid(f"DE{wrong}{account}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("DE89", Reason.VALUE_TOO_SHORT),
        ("DE88 3704 0044 0532 0130 00", Reason.VALUE_NOT_IN_FORMAT),
        ("DE89 3704 0044 0532 0130", Reason.VALUE_NOT_IN_FORMAT),
        ("ZZ89 3704 0044 0532 0130 00", Reason.VALUE_NOT_IN_FORMAT),
        ("DEE9 3704 0044 0532 0130 00", Reason.VALUE_NOT_IN_FORMAT),
        ("DE89_3704_0044_0532_0130_00", Reason.VALUE_NOT_IN_FORMAT),
        ("DE８９ 3704 0044 0532 0130 00", Reason.VALUE_NOT_IN_FORMAT),
        ("DE89" + "0" * 31, Reason.VALUE_TOO_LONG),
        ("LV" + iban_check("lv", "bank" + "x" * 13) + "BANK" + "X" * 13, Reason.VALUE_TOO_SHORT),
    ],
)
def test_what_is_no_iban_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        IBAN.parse(text)
    assert caught.value.reason is reason


def test_check_digits_outside_of_02_to_98_are_refused() -> None:
    account = next(a for n in range(200) if iban_check("de", a := f"{n:018d}") == "98")
    with pytest.raises(FormatError, match="check digits"):
        IBAN.parse(f"DE01{account}")


def test_countries_narrow_the_field_and_widen_the_domain() -> None:
    germany = build_format("iban", countries=("DE",))
    assert germany.effective_domain(Generator.FF1, Storage.VAULTED) == 10**18
    assert IBAN.effective_domain(Generator.FF1, Storage.VAULTED) == 10**10
    with pytest.raises(FormatError, match="this country"):
        germany.parse(IBANS[1])
    for country in ("ZZ", "D", "DEU", "١٢"):
        with pytest.raises(FormatOptionError) as caught:
            build_format("iban", countries=(country,))
        assert caught.value.option == "countries"


def test_no_country_has_accounts_without_ten_places_for_digits() -> None:
    registry = numdb.get("iban")
    for country in ("BE", "NO", "NL", "MT", "LC", "RU", "SC"):
        assert registry.info(country)[0][1]["bban"]
        build_format("iban", countries=(country,))


@pytest.mark.parametrize("text", ["021000021", "0210-0002-1", "011 401 533"])
def test_a_routing_number_token_fails_or_passes_its_check(text: str) -> None:
    for check in ("valid", "invalid"):
        made = build_format("us_routing", token_check="valid" if check == "valid" else "invalid")
        parsed = made.parse(text)
        token = made.token_plan(parsed.core, Storage.VAULTED).build("12345678")
        assert stdnum.us.rtn.is_valid(token) == (check == "valid")
        again = made.parse_token(made.render(token, parsed.layout))
        assert made.render(parsed.core, again.layout) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("02100002", Reason.VALUE_TOO_SHORT),
        ("0210000210", Reason.VALUE_TOO_LONG),
        ("021000020", Reason.VALUE_NOT_IN_FORMAT),
        ("02100002x", Reason.VALUE_NOT_IN_FORMAT),
        ("02100002１", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_no_routing_number_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        build_format("us_routing").parse(text)
    assert caught.value.reason is reason


def test_vehicle_check_digits() -> None:
    for text in ("1M8GDM9AXKP042788", "5GZCZ43D13S812715", "11111111111111111"):
        assert vin_check(text) == text[8]
        assert vin_check(text, wrong=True) != text[8]


def test_a_vehicle_number_without_a_check_digit_is_for_token_check_any() -> None:
    text = "WVWZZZ1JZXW000001"
    build_format("vin").parse(text)
    with pytest.raises(FormatError, match="check digit"):
        build_format("vin", token_check="invalid").parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("1M8GDM9AXKP04278", Reason.VALUE_TOO_SHORT),
        ("1M8GDM9AXKP0427888", Reason.VALUE_TOO_LONG),
        ("1m8gdm9axkp042788", Reason.VALUE_NOT_IN_FORMAT),
        ("1M8GDM9AXKPO42788", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_no_vehicle_number_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        build_format("vin").parse(text)
    assert caught.value.reason is reason


def test_an_itin_token_is_an_itin() -> None:
    made = build_format("us_itin")
    parsed = made.parse("912-90-3456")
    assert made.token_plan(parsed.core, Storage.VAULTED).build("123456") == "912903456"
    assert made.effective_domain(Generator.FF1, Storage.VAULTED) == 10**6
    assert made.effective_domain(Generator.RANDOM, Storage.VAULTED) == 100 * 44 * 10**4
    plan = made.random_plan(parsed.core, 0)
    for seed in range(200):
        token = plan.build(f"{seed * 7_654_321:0{plan.length}x}")
        assert made.parse_token(token).core == token
    for text in ("812-90-3456", "912-93-3456", "912-49-3456"):
        with pytest.raises(FormatError):
            made.parse(text)
    # The oracle's groups are those before 2016; the IRS added 50-65 then.
    assert all(
        stdnum.us.itin.is_valid(f"9120{n:05d}"[:3] + f"{n:02d}0000") is made_of(n)
        for n in range(66, 100)
    )


def made_of(group: int) -> bool:
    try:
        build_format("us_itin").parse(f"912{group:02d}0000")
    except FormatError:
        return False
    return True


def test_a_token_that_is_never_an_ssn() -> None:
    made = build_format("us_ssn", token_check="invalid")
    assert made.effective_domain(Generator.RANDOM, Storage.VAULTED) == 57_000_000
    assert "generator random" in str(made.check_generator(Generator.FF1, Storage.VAULTED))
    plan = made.random_plan("123456789", 0)
    for seed in range(2_000):
        token = made.parse_token(plan.build(f"{seed * 987_654_321:0{plan.length}x}")).core
        assert not stdnum.us.ssn.is_valid(token)
        assert not stdnum.us.itin.is_valid(token)
        assert not made_of(int(token[3:5])) or not token.startswith("9")
    with pytest.raises(FormatError):
        made.parse_token("123-45-6789")
    kept = build_format("us_ssn", token_check="invalid", keep_last=4)
    last = kept.random_plan("123456789", 0)
    assert last.build("0" * last.length) == "000006789"


@pytest.mark.parametrize(
    ("region", "text"),
    [
        ("US", "02139"),
        ("US", "02139-4307"),
        ("CA", "K1A 0B1"),
        ("CA", "k1a0b1"),
        ("GB", "SW1A 1AA"),
        ("GB", "m1 1ae"),
        ("GB", "EC1A1BB"),
        ("GB", "DN55 1PT"),
    ],
)
def test_a_postcode_token_has_the_same_form(region: str, text: str) -> None:
    made = build_format("postcode", region=region)
    parsed = made.parse(text)
    plan = made.random_plan(parsed.core, 0)
    for digit in "0123456789abcdef":
        token = made.render(plan.build(digit * plan.length), parsed.layout)
        assert [c.isdigit() for c in token] == [c.isdigit() for c in text]
        assert [c.isupper() for c in token] == [c.isupper() for c in text]
        assert made.parse_token(token).layout == parsed.layout


@pytest.mark.parametrize(
    ("region", "text"),
    [("US", "2139"), ("US", "021394"), ("CA", "D1A 0B1"), ("GB", "SW1A 1AC"), ("GB", "ſW1A 1AA")],
)
def test_what_is_no_postcode_is_refused(region: str, text: str) -> None:
    with pytest.raises(FormatError):
        build_format("postcode", region=region).parse(text)


def test_domains_of_postcodes() -> None:
    sizes = {
        region: build_format("postcode", region=region).effective_domain(
            Generator.RANDOM, Storage.VAULTED
        )
        for region in ("US", "CA", "GB")
    }
    assert sizes == {"US": 10**5, "CA": 18 * 20 * 20 * 1000, "GB": 26 * 100 * 400}
    with pytest.raises(FormatOptionError, match="US, CA, GB"):
        build_format("postcode", region="DE")


@pytest.mark.parametrize("text", ["C01X00T47", "S530-1234-5678", "x 123.456<7", "308271618"])
def test_a_document_number_keeps_its_classes(text: str) -> None:
    made = build_format("document_number")
    parsed = made.parse(text)
    plan = made.random_plan(parsed.core, 0)
    token = made.render(plan.build("7" * plan.length), parsed.layout)
    assert [c.isdigit() for c in token] == [c.isdigit() for c in text]
    assert [c.isupper() for c in token] == [c.isupper() for c in text]
    assert made.render(parsed.core, made.parse_token(token).layout) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("--", Reason.VALUE_TOO_SHORT),
        ("A1234", Reason.VALUE_TOO_SHORT),
        ("A" * 41, Reason.VALUE_TOO_LONG),
        ("A12345é", Reason.VALUE_NOT_IN_FORMAT),
        ("A12345\u212a", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_no_document_number_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        build_format("document_number").parse(text)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("name", "options", "option"),
    [
        ("iban", {"token_check": "any"}, "token_check"),
        ("us_routing", {"token_check": "any"}, "token_check"),
        ("us_ssn", {"token_check": "valid"}, "token_check"),
        ("document_number", {"min": 0}, "min"),
        ("document_number", {"min": 9, "max": 8}, "max"),
        ("ipv4", {"keep_first": 4}, "keep_first"),
        ("us_itin", {"keep_last": 4}, "keep_last"),
    ],
)
def test_options_that_do_not_fit_are_refused(name: str, options: OptionValues, option: str) -> None:
    with pytest.raises(FormatOptionError) as caught:
        build_format(name, **options)
    assert caught.value.option == option
