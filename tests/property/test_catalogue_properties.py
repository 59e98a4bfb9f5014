"""What holds for every value of every format in the catalogue, by any cipher and any draw."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from vault.errors import FormatError
from vault.formats import FORMATS, Format, HasParts, OptionValues, build_format
from vault.formats.base.check_digits import aba_check, iban_check, vin_check
from vault.formats.base.contract import Plan, RandomPlan
from vault.formats.catalogue.dialling import (
    REGIONS,
    country_length,
    international_prefix,
    kept_length,
)
from vault.model import Generator, Storage

DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
VIN = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
HOSTILE = (
    "ßẞİıǅſKÅΣσςŉﬁΐ\u0301\u0308\u200d\u200e\u202e\u2066\ufeff１２٣𐐀𐐨😀李ªⅣ\x00\x1f\n\t\x7f\u2028"
    "\ud800-+.,:/ '[]{}0aA"
)
hostile = st.text(st.sampled_from(HOSTILE) | st.characters(), max_size=45)


def digits(least: int, most: int) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(DIGITS), min_size=least, max_size=most)


@st.composite
def spaced(draw: st.DrawFn, core: str, marks: str = " -") -> str:
    gaps = st.sampled_from(["", "", "", *marks])
    return "".join([draw(gaps) + character for character in core])


@st.composite
def in_some_case(draw: st.DrawFn, text: str) -> str:
    flips = draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    return "".join([a.upper() if up else a.lower() for a, up in zip(text, flips, strict=True)])


@st.composite
def ibans(draw: st.DrawFn) -> str:
    shapes = {
        "de": "n" * 18,
        "gb": "aaaa" + "n" * 14,
        "fr": "n" * 10 + "c" * 11 + "nn",
        "no": "n" * 11,
    }
    country, shape = draw(st.sampled_from(sorted(shapes.items())))
    sets = {"n": DIGITS, "a": LOWER, "c": DIGITS + LOWER}
    account = "".join([draw(st.sampled_from(sets[each])) for each in shape])
    text = country + iban_check(country, account) + account
    return draw(in_some_case(draw(spaced(text))))


@st.composite
def vins(draw: st.DrawFn) -> str:
    text = draw(st.text(st.sampled_from(VIN), min_size=17, max_size=17))
    return draw(spaced(text[:8] + vin_check(text) + text[9:]))


@st.composite
def dates(draw: st.DrawFn, form: str) -> str:
    day = draw(st.dates(datetime.date(600, 1, 1), datetime.date(3337, 11, 27)))
    gap = draw(st.sampled_from(["-", "/", ".", " ", ""]))
    short = bool(gap) and draw(st.booleans())
    parts = {
        "y": f"{day.year:04d}",
        "m": str(day.month) if short else f"{day.month:02d}",
        "d": str(day.day) if short else f"{day.day:02d}",
    }
    return gap.join([parts[each] for each in form])


@st.composite
def uuids(draw: st.DrawFn) -> str:
    text = draw(st.uuids()).hex if draw(st.booleans()) else draw(digits(32, 32))
    text = draw(st.sampled_from([text, text.upper()]))
    cut = [text[:8], text[8:12], text[12:16], text[16:20], text[20:]]
    joined = draw(st.sampled_from(["-", ""])).join(cut)
    return draw(st.sampled_from([joined, f"{{{joined}}}", f"urn:uuid:{joined}"]))


@st.composite
def postcodes(draw: st.DrawFn, pattern: str) -> str:
    text = draw(st.from_regex(pattern, fullmatch=True))
    return draw(in_some_case(draw(spaced(text))))


ssn_like = st.from_regex(r"[0-9]{3}([- ]?)[0-9]{2}\1[0-9]{4}", fullmatch=True)
itins = st.builds(
    lambda area, group, serial, gap: f"9{area}{gap}{group}{gap}{serial}",
    digits(2, 2),
    st.sampled_from([*range(50, 66), *range(70, 89), 90, 91, 92, *range(94, 100)]),
    digits(4, 4),
    st.sampled_from(["", "-", " "]),
)
phones = st.sampled_from(
    [
        "+1 (415) 555-2671",
        "415-555-2671",
        "1 415 555 2671",
        "011 49 30 901820",
        "+44 (0)20 7946 0958",
        "+49 30/901820",
        "(+39) 06.698.57000",
        "+61 2 9374 4000",
        "+86\u00a010 6552 9988",
        "+353 1 234 5678",
    ]
)
integers = st.integers(-(10**18), 10**18 - 1).map(str) | st.integers(-(10**18), 10**18 - 1).map(
    lambda number: str(number // 10**15)
)
decimals = st.builds(
    lambda sign, whole, places: f"{sign}{whole}{'.' if places else ''}{places}",
    st.sampled_from(["", "-"]),
    st.integers(0, 10**12 - 1),
    st.text(st.sampled_from(DIGITS), max_size=18),
).filter(lambda text: not (text.startswith("-") and not text.strip("-0.")))

TEMPLATE = "AC-{branch:digits:4}[ -]{serial:digits:2-12}/{kind:upper:1-3:keep}"

CASES: list[tuple[str, OptionValues, st.SearchStrategy[str]]] = [
    ("us_ssn", {}, ssn_like),
    ("us_itin", {}, itins),
    ("phone", {"region": "US"}, phones),
    ("date", {}, dates("ymd")),
    ("date", {"order": "dmy"}, dates("dmy")),
    ("date", {"order": "mdy"}, dates("mdy")),
    ("uuid", {}, uuids()),
    ("ipv4", {}, st.ip_addresses(v=4).map(str)),
    ("ipv4", {"keep_first": 2}, st.ip_addresses(v=4).map(str)),
    ("integer", {}, integers),
    ("decimal", {}, decimals),
    ("iban", {}, ibans()),
    ("iban", {"token_check": "valid"}, ibans()),
    (
        "us_routing",
        {},
        digits(8, 8).flatmap(lambda text: spaced(text + aba_check(text))),
    ),
    ("vin", {}, vins()),
    ("vin", {"token_check": "valid"}, vins()),
    ("vin", {"token_check": "invalid"}, vins()),
    (
        "template",
        {"template": TEMPLATE},
        st.from_regex(r"AC-[0-9]{4}[ -]?[0-9]{2,12}/[A-Z]{1,3}", fullmatch=True),
    ),
]
RANDOM_CASES: list[tuple[str, OptionValues, st.SearchStrategy[str]]] = [
    *CASES,
    ("us_ssn", {"token_check": "invalid", "keep_last": 4}, ssn_like),
    (
        "phone",
        {"region": "US", "invalid": "random", "min": 3},
        digits(5, 15).flatmap(lambda text: spaced(text, " ().-")),
    ),
    ("postcode", {"region": "US"}, postcodes(r"[0-9]{5}([0-9]{4})?")),
    (
        "postcode",
        {"region": "CA"},
        postcodes(
            r"[abceghjklmnprstvxy][0-9][abceghjklmnprstvwxyz][0-9][abceghjklmnprstvwxyz][0-9]"
        ),
    ),
    (
        "postcode",
        {"region": "GB"},
        postcodes(r"[a-z]{1,2}[0-9][0-9a-z]?[0-9][abdefghjlnpqrstuwxyz]{2}"),
    ),
    (
        "document_number",
        {},
        st.text(st.sampled_from(DIGITS + LOWER + LOWER.upper()), min_size=6, max_size=20).flatmap(
            spaced
        ),
    ),
    (
        "address",
        {},
        hostile
        | st.from_regex(r"[0-9]{1,4} [A-Z][a-zé]{2,9} St\., Apt [0-9]?[A-Z]", fullmatch=True),
    ),
    (
        "person_name",
        {"script": "own"},
        hostile | st.text(st.sampled_from("ΑΒΓαβγςσΣЁйёК李小あアאםعي한 'Xx"), max_size=9),
    ),
    (
        "email",
        {"domain": "drawn"},
        hostile.map(lambda local: f"{local}@Paint.Example.org"),
    ),
    ("surrogate", {}, hostile),
    (
        "template",
        {"template": "{a:upper:2}{b:digits:3-9}[ ]-{c:alphanumeric:1}"},
        st.from_regex(r"[A-Z]{2}[0-9]{3,9} ?-[0-9A-Za-z]", fullmatch=True),
    ),
]


def rotated(plan: Plan, by: int) -> str:
    """Stands in for a cipher: a bijection of equal length, its inverse being ``-by``."""
    characters = plan.alphabet.characters
    numerals = plan.alphabet.encode(plan.text)
    return "".join([characters[(each + by) % len(characters)] for each in numerals])


def drawn(plan: RandomPlan, seed: list[int]) -> str:
    characters = plan.alphabet.characters
    return "".join(
        [characters[seed[at % len(seed)] % len(characters)] for at in range(plan.length)]
    )


def check_token(made: Format, text: str, core: str) -> None:
    """A token is read back as it was made, and restores its value."""
    value = made.parse(text)
    token_text = made.render(core, value.layout)
    token_text.encode()
    token = made.parse_token(token_text)
    assert token.core == core
    assert made.render(core, token.layout) == token_text
    assert made.render(value.core, token.layout) == text


def check_unquoted(text: str, error: FormatError) -> None:
    """A message does not quote a value; words of the rules are no quotes."""
    telling = not text.isascii() or any(map(str.isdigit, text))
    assert not (telling and len(text) > 5 and text in error.message)


def parsed_or_refused(made: Format, text: str) -> bool:
    try:
        made.parse(text)
    except FormatError as error:
        check_unquoted(text, error)
        return False
    return True


seeds = st.lists(st.integers(0, 10**6), min_size=40, max_size=40)


@pytest.mark.parametrize(("name", "options", "texts"), RANDOM_CASES)
@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_values_come_back_from_random_tokens(
    name: str, options: OptionValues, texts: st.SearchStrategy[str], data: st.DataObject
) -> None:
    made = build_format(name, **options)
    assert made.check_generator(Generator.RANDOM, Storage.VAULTED) is None
    text, seed = data.draw(texts), data.draw(seeds)
    free = name in {"address", "person_name", "email", "surrogate"}
    accepted = parsed_or_refused(made, text)
    assert accepted or free or name == "phone"
    assume(accepted)
    parsed = made.parse(text)
    assert made.render(parsed.core, parsed.layout) == text
    for attempt in (0, 2):
        plan = made.random_plan(parsed.core, attempt)
        check_token(made, text, plan.build(drawn(plan, seed)))


@pytest.mark.parametrize(("name", "options", "texts"), CASES)
@settings(suppress_health_check=[HealthCheck.filter_too_much], deadline=None)
@given(st.data(), st.integers(1, 9))
def test_values_come_back_from_enciphered_tokens(
    name: str, options: OptionValues, texts: st.SearchStrategy[str], data: st.DataObject, by: int
) -> None:
    made = build_format(name, **options)
    text = data.draw(texts)
    core = made.parse(text).core
    plan = made.token_plan(core, Storage.VAULTED)
    size = plan.alphabet.radix ** len(plan.text)
    assert size >= made.effective_domain(Generator.FF1, Storage.VAULTED)
    check_token(made, text, plan.build(rotated(plan, by)))
    if Storage.VAULTLESS not in made.storages:
        return
    plan = made.token_plan(core, Storage.VAULTLESS)
    token = plan.build(rotated(plan, by))
    assert made.parse_token(made.render(token, made.parse(text).layout)).core == token
    back = made.value_plan(token)
    assert back.kept == plan.kept
    assert back.alphabet == plan.alphabet
    assert back.build(rotated(back, -by)) == core


@pytest.mark.parametrize("case", ["lower", "upper"])
@given(uuids(), st.integers(0, 15))
def test_uuids_of_one_case_go_vaultless(case: str, text: str, by: int) -> None:
    made = build_format("uuid", case="upper" if case == "upper" else "lower")
    text = text.upper() if case == "upper" else text.lower()
    assume(not text.startswith("URN"))
    parsed = made.parse(text)
    plan = made.token_plan(parsed.core, Storage.VAULTLESS)
    core = plan.build(rotated(plan, by))
    token = made.parse_token(made.render(core, parsed.layout))
    assert (token.core, token.layout) == (core, parsed.layout)
    back = made.value_plan(token.core)
    assert made.render(back.build(rotated(back, -by)), token.layout) == text


def option_of(name: str) -> OptionValues:
    options: dict[str, OptionValues] = {
        "alphabet": {"alphabet": "digits", "min": 6},
        "postcode": {"region": "GB"},
        "template": {"template": TEMPLATE},
    }
    return options.get(name, {})


@pytest.mark.parametrize("name", sorted(FORMATS))
@given(hostile)
def test_whatever_is_read_is_written_back_and_all_else_is_refused(name: str, text: str) -> None:
    made = build_format(name, **option_of(name))
    for parse in (made.parse, made.parse_token):
        try:
            parsed = parse(text)
        except FormatError as error:
            check_unquoted(text, error)
            continue
        assert made.render(parsed.core, parsed.layout) == text


@pytest.mark.parametrize(("name", "options", "texts"), RANDOM_CASES)
@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_parts_are_within_the_value(
    name: str, options: OptionValues, texts: st.SearchStrategy[str], data: st.DataObject
) -> None:
    made: object = build_format(name, **options)
    if not isinstance(made, HasParts):
        return
    form = build_format(name, **options)
    text = data.draw(texts)
    assume(parsed_or_refused(form, text))
    core = form.parse(text).core
    spans = made.spans(core)
    assert set(spans) == set(made.parts)
    assert all(0 <= start <= end <= len(core) for start, end in spans.values())


@pytest.mark.parametrize(
    ("name", "options", "texts"),
    [
        ("integer", {"max": 2}, [str(number) for number in range(-100, 100)]),
        ("ipv4", {"keep_first": 3}, [f"10.1.2.{last}" for last in range(256)]),
        (
            "decimal",
            {"max": 1},
            [f"{sign}{n // 100}.{n % 100:02d}" for n in range(1, 1000) for sign in ("", "-")],
        ),
        (
            "template",
            {"template": "{a:01:1-4}-{b:01:1-3}"},
            [
                f"{a:0{wide}b}-{b:0{narrow}b}"
                for wide in range(1, 5)
                for narrow in range(1, 4)
                for a in range(2**wide)
                for b in range(2**narrow)
            ],
        ),
        (
            "us_routing",
            {},
            [f"1234{n:04d}{aba_check(f'1234{n:04d}')}" for n in range(10_000)],
        ),
    ],
)
def test_a_whole_small_domain_maps_one_to_one(
    name: str, options: OptionValues, texts: list[str]
) -> None:
    made = build_format(name, **options)
    tokens = set()
    for text in texts:
        plan = made.token_plan(made.parse(text).core, Storage.VAULTLESS)
        tokens.add(plan.build(rotated(plan, 1)))
    assert len(tokens) == len(set(texts))


PREFIXES = sorted({international_prefix(region) for region in REGIONS})


@examples(5)
@given(st.data(), st.sampled_from(PREFIXES))
def test_what_a_phone_number_keeps_says_so_by_itself(data: st.DataObject, prefix: str) -> None:
    """Else a token would be taken apart as another number, and come back as a third."""
    likely = st.sampled_from(DIGITS) | st.sampled_from("018" + prefix)
    start = data.draw(st.sampled_from(["", "+", prefix, prefix[:-1]]))
    number = start + data.draw(st.text(likely, min_size=1, max_size=14))
    kept = kept_length(number, prefix)
    rest = max(0, len(number) - kept)
    token = number[:kept] + data.draw(st.text(likely, min_size=rest, max_size=rest))
    assert kept_length(token, prefix) == kept
    assert country_length(token, prefix) == country_length(number, prefix)
