"""address, surrogate, and the options of names and e-mails."""

from __future__ import annotations

import pytest

from vault.errors import FormatError, Reason
from vault.formats import Format, FormatOptionError, build_format
from vault.formats.base.scripts import SCRIPTS, fewest_letters
from vault.formats.catalogue.email import EmailDomain
from vault.formats.catalogue.surrogate import find_surrogates
from vault.model import Generator, Storage

ADDRESS = build_format("address")
OWN = build_format("person_name", script="own")
SURROGATE = build_format("surrogate", label="PERSON")


def token(made: Format, text: str, attempt: int = 0) -> str:
    """Every character the first that may be drawn."""
    parsed = made.parse(text)
    plan = made.random_plan(parsed.core, attempt)
    made_core = plan.build(plan.alphabet.characters[0] * plan.length)
    made_text = made.render(made_core, parsed.layout)
    assert made.render(parsed.core, made.parse_token(made_text).layout) == text
    return made_text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("123 Main St., Apt 4B", "000 Aaaa Aa., Aaa 0A"),
        ("Calle Mayor 5, 3º D\r\n28013 Madrid", "Aaaaa Aaaaa 0, 0º A\r\n00000 Aaaaaa"),
        ("東京都千代田区1-1", "aaaaaaa0-0"),
        ("Straße 7b", "Aaaaaa 0a"),
        ("5", "0aaaa"),
        ("A1", "A0aaa"),
        ("ÅÄ", "AAAAA"),
    ],
)
def test_an_address_keeps_its_form(text: str, made: str) -> None:
    assert token(ADDRESS, text) == made


def test_a_short_address_grows_with_every_attempt() -> None:
    assert token(ADDRESS, "5", 2) == "0aaaaaa"
    assert ADDRESS.effective_domain(Generator.RANDOM, Storage.VAULTED) == 10**6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        (" ,\n", Reason.VALUE_TOO_SHORT),
        ("x" * 513, Reason.VALUE_TOO_LONG),
        ("a\x00b", Reason.VALUE_NOT_IN_FORMAT),
        ("a\ud800b", Reason.VALUE_NOT_IN_FORMAT),
        ("a\u2028b", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_no_address_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        ADDRESS.parse(text)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Ivan Martin", "Aaaa Aaaaaa"),
        ("Ёлка Йод", "Аааа Ааа"),
        ("Σωκράτης", "Αααααααα"),
        ("李小龍", "一一一"),
        ("李", "一一"),
        ("Zóphoníasson", "Aaaaaaaaaaaa"),
        ("דוד כהן", "אאא אאא"),
        ("김철수", "가가가"),
        ("李Xiao", "aAaaa"),
        ("ნინო", "aaaaa"),
    ],
)
def test_a_name_token_is_in_the_script_of_the_name(text: str, made: str) -> None:
    assert token(OWN, text) == made


def test_letters_of_every_script_stay_as_they_are() -> None:
    for alphabet in SCRIPTS:
        letters = alphabet.characters
        assert alphabet.radix ** fewest_letters(alphabet) >= 10**6
        made = OWN.parse_token("".join([c.upper() for c in letters[:50]]))
        assert made.core == letters[:50]
    assert OWN.effective_domain(Generator.RANDOM, Storage.VAULTED) == min(
        alphabet.radix ** fewest_letters(alphabet) for alphabet in SCRIPTS
    )


def test_a_name_token_is_of_one_script() -> None:
    with pytest.raises(FormatError):
        OWN.parse_token("abcдеf")
    with pytest.raises(FormatError):
        build_format("person_name").parse_token("абвгд")


@pytest.mark.parametrize(
    ("domain", "made"),
    [
        ("reserved", "Aaaaaaaa.aaaa@example.com"),
        ("kept", "Aaaaaaaa.aaaa@Paint.org"),
        ("drawn", "Aaaaaaaa.aaaa@aaaaaaaa.example"),
    ],
)
def test_an_email_has_one_of_three_domains(domain: EmailDomain, made: str) -> None:
    email = build_format("email", domain=domain)
    assert token(email, "Bobobobo.ross@Paint.org") == made


def test_email_shapes_of_before_are_as_they_were() -> None:
    for options, shape in (
        ({}, {"rules": 1, "keep_domain": False}),
        ({"domain": "reserved"}, {"rules": 1, "keep_domain": False}),
        ({"keep_domain": True}, {"rules": 1, "keep_domain": True}),
        ({"domain": "kept"}, {"rules": 1, "keep_domain": True}),
    ):
        assert build_format("email", **options).token_spec() == shape
    assert build_format("person_name", script="latin").token_spec() == {"rules": 2}
    with pytest.raises(FormatOptionError):
        build_format("email", domain="drawn", keep_domain=True)


@pytest.mark.parametrize("domain", ["aaaaaaaa.example.com", "aaaaaaa.example", "1aaaaaaa.example"])
def test_a_drawn_domain_has_one_form(domain: str) -> None:
    with pytest.raises(FormatError):
        build_format("email", domain="drawn").parse_token(f"abcdefgh@{domain}")


def test_a_surrogate_is_found_in_text_and_stands_for_anything() -> None:
    made = token(SURROGATE, "María\n  O'Neal, 42")
    assert made == "[PERSON_00000000000000000000]"
    text = f"Dear {made}{made}, re [PERSON_0000] and [CARD_NO_7K2M9X4C1B8DQW3FZT5H]."
    assert [(text[a:b], label) for a, b, label, _ in find_surrogates(text)] == [
        (made, "PERSON"),
        (made, "PERSON"),
        ("[CARD_NO_7K2M9X4C1B8DQW3FZT5H]", "CARD_NO"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[PERSON_0000000000000000000]",
        "[PERSON_000000000000000000000]",
        "[PERSON_0000000000000000000I]",
        "[person_00000000000000000000]",
        "[CARD_00000000000000000000]",
        "PERSON_00000000000000000000",
    ],
)
def test_what_is_no_surrogate_of_the_field_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        SURROGATE.parse_token(text)


def test_surrogate_values_and_options_have_bounds() -> None:
    for text, reason in (("", "TOO_SHORT"), ("x" * 10_001, "TOO_LONG"), ("\udc00", "NOT_IN")):
        with pytest.raises(FormatError) as caught:
            SURROGATE.parse(text)
        assert reason in caught.value.reason.value
    for options in ({"label": "person"}, {"label": ""}, {"max": 0}):
        with pytest.raises(FormatOptionError):
            build_format("surrogate", **options)
