"""What holds for every value that a format accepts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vault.errors import FormatError
from vault.formats import Format, OptionValues, build_format
from vault.formats.base.layout import Layout, apply_layout, fold_case
from vault.formats.base.luhn import luhn_check_digit, luhn_sum
from vault.formats.catalogue.card import TokenLuhn
from vault.model import Storage

# Characters that casing, normalisation and display treat in ways of their own.
HOSTILE = (
    "ßẞİıǅǄǆſKÅΣσςŉﬁΐᾳᾼⅣⓐⒶ\u0301\u0308\u0345\u200d\u200e\u200f\u202e\u2066\ufeff"
    "１２٣𐐀𐐨𝐀😀李ªᴬꙀꙁ\u1c80\u10d0\u1c90\u13a0\uab70\U00010400\U0001e900"
)
hostile = st.text(st.sampled_from(HOSTILE) | st.characters(), max_size=40)
case_like = st.text(st.sampled_from("aAbBzZ09-'. ,’_+"), max_size=40)
separators = st.sampled_from(["", "", "", "-", " ", " - "])


@st.composite
def cards(draw: st.DrawFn, shortest: int = 12) -> str:
    body = draw(st.text(st.sampled_from("0123456789"), min_size=shortest - 1, max_size=18))
    return body + luhn_check_digit(body, "", 0)


@st.composite
def spaced(draw: st.DrawFn, core: str, gaps: st.SearchStrategy[str]) -> str:
    """Puts separators anywhere, no more than there are characters."""
    pieces = [draw(gaps) + character for character in core]
    text = "".join(pieces)
    assume(len(text) <= 2 * len(core))
    return text


def rotate(text: str, characters: str, by: int) -> str:
    """Stands in for a cipher: a bijection of equal length, its inverse being ``-by``."""
    size = len(characters)
    return "".join([characters[(characters.index(one) + by) % size] for one in text])


def accepted(made: Format, text: str) -> bool:
    """Whether a value parses; if not, the message must not quote it."""
    message = ""
    try:
        made.parse(text)
    except FormatError as error:
        message = error.message
    assert len(text) < 4 or text not in message
    return not message


def check_random_round_trip(made: Format, text: str, letters: Sequence[int]) -> None:
    parsed = made.parse(text)
    assert made.render(parsed.core, parsed.layout) == text
    for attempt in (0, 3):
        plan = made.random_plan(parsed.core, attempt)
        drawn = [plan.alphabet.characters[letters[at % 26]] for at in range(plan.length)]
        core = plan.build("".join(drawn))
        token = made.render(core, parsed.layout)
        token.encode()
        again = made.parse_token(token)
        assert again.core == core
        assert made.render(core, again.layout) == token
        assert made.render(parsed.core, again.layout) == text


letters = st.lists(st.integers(0, 25), min_size=26, max_size=26)


def test_every_character_survives_folding() -> None:
    for code in range(0x110000):
        character = chr(code)
        core, capitals = fold_case(character)
        assert apply_layout(core, Layout(1, (), capitals)) == character


@given(hostile | case_like, letters)
def test_names_come_back_from_their_tokens(text: str, drawn: list[int]) -> None:
    made = build_format("person_name")
    if accepted(made, text):
        check_random_round_trip(made, text, drawn)


@pytest.mark.parametrize("keep_domain", [False, True])
@given(
    hostile | case_like,
    st.sampled_from(
        ["x.org", "X.Org", "EXAMPLE.com", "STRASSE.de", "Straße.de", "例え.テスト", "[1::F]"]
    )
    | hostile,
    letters,
)
def test_emails_come_back_from_their_tokens(
    keep_domain: bool, local: str, domain: str, drawn: list[int]
) -> None:
    made = build_format("email", keep_domain=keep_domain)
    text = f"{local}@{domain}"
    if accepted(made, text):
        check_random_round_trip(made, text, drawn)


@given(
    st.data(),
    st.sampled_from([0, 6, 8]),
    st.integers(0, 4),
    st.sampled_from(["valid", "invalid", "any"]),
    st.integers(1, 9),
)
def test_cards_by_any_cipher(
    data: st.DataObject, first: int, last: int, luhn: TokenLuhn, by: int
) -> None:
    made = build_format("card", min=14, keep_first=first, keep_last=last, token_luhn=luhn)
    text = data.draw(cards(shortest=14).flatmap(lambda core: spaced(core, separators)))
    parsed = made.parse(text)
    assert made.render(parsed.core, parsed.layout) == text
    plan = made.token_plan(parsed.core, Storage.VAULTLESS)
    core = plan.build(rotate(plan.text, plan.alphabet.characters, by))
    token = made.parse_token(made.render(core, parsed.layout))
    assert token.core == core
    assert token.layout == parsed.layout
    assert core[:first] == parsed.core[:first]
    assert core[len(core) - last :] == parsed.core[len(core) - last :]
    if luhn != "any":
        assert (luhn_sum(core) == 0) == (luhn == "valid")
    back = made.value_plan(core)
    assert back.kept == plan.kept
    assert back.build(rotate(back.text, back.alphabet.characters, -by)) == parsed.core


@given(
    st.from_regex(
        r"[0-9]{9}|[0-9]{3}-[0-9]{2}-[0-9]{4}|[0-9]{3} [0-9]{2} [0-9]{4}", fullmatch=True
    ),
    st.integers(0, 4),
    st.integers(1, 9),
)
def test_ssns_by_any_cipher(text: str, last: int, by: int) -> None:
    made = build_format("us_ssn", keep_last=last)
    parsed = made.parse(text)
    plan = made.token_plan(parsed.core, Storage.VAULTLESS)
    core = plan.build(rotate(plan.text, plan.alphabet.characters, by))
    token = made.parse_token(made.render(core, parsed.layout))
    assert (token.core, token.layout) == (core, parsed.layout)
    back = made.value_plan(core)
    value = back.build(rotate(back.text, back.alphabet.characters, -by))
    assert made.render(value, token.layout) == text


@pytest.mark.parametrize("storage", list(Storage))
@given(
    st.data(),
    st.sampled_from(["digits", "letters", "alphanumeric", "hex_upper", "01]^-\\", "ÄÖÜäöü0"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(1, 9),
)
def test_alphabets_by_any_cipher(
    storage: Storage, data: st.DataObject, alphabet: str, first: int, last: int, by: int
) -> None:
    made = build_format(
        "alphabet",
        alphabet=alphabet,
        min=7,
        max=40,
        keep_first=first,
        keep_last=last,
        separators=" " if "-" in alphabet else None,
    )
    whole = (
        made.token_plan("0" * 7, Storage.VAULTLESS).alphabet
        if alphabet != "letters"
        else (made.token_plan("A" * 7, Storage.VAULTLESS).alphabet)
    )
    value = data.draw(st.text(st.sampled_from(whole.characters), min_size=7, max_size=40))
    gaps = st.sampled_from(["", "", " "]) if "-" in alphabet else separators
    text = data.draw(spaced(value, gaps))
    parsed = made.parse(text)
    assert parsed.core == value
    assert made.render(parsed.core, parsed.layout) == text
    plan = made.token_plan(parsed.core, storage)
    core = plan.build(rotate(plan.text, plan.alphabet.characters, by))
    token = made.parse_token(made.render(core, parsed.layout))
    assert (token.core, token.layout) == (core, parsed.layout)
    assert made.render(parsed.core, token.layout) == text
    assert (core[:first], core[len(core) - last :]) == (value[:first], value[len(value) - last :])
    if storage is Storage.VAULTLESS:
        back = made.value_plan(core)
        assert back.kept == plan.kept
        assert back.build(rotate(back.text, back.alphabet.characters, -by)) == value
    elif plan.text.isupper() or plan.text.islower():
        made_text = core[first : len(core) - last]
        assert plan.text.isupper() or not any(map(str.isupper, made_text))
        assert plan.text.islower() or not any(map(str.islower, made_text))


@given(st.sampled_from(["card", "us_ssn", "email", "person_name", "alphabet"]), hostile)
def test_a_token_that_nobody_made_is_refused_as_a_format_error_or_read(
    name: str, text: str
) -> None:
    options: OptionValues = {"alphabet": "digits", "min": 6} if name == "alphabet" else {}
    made = build_format(name, **options)
    try:
        parsed = made.parse_token(text)
    except FormatError:
        return
    assert made.render(parsed.core, parsed.layout) == text
