from __future__ import annotations

import pytest

from vault.errors import FormatError, Reason
from vault.formats import FormatOptionError, HasWords, build_format
from vault.formats.base.layout import bare_layout
from vault.model import Generator, Storage

NAME = build_format("person_name")


def token_of(text: str, attempt: int = 0) -> str:
    parsed = NAME.parse(text)
    plan = NAME.random_plan(parsed.core, attempt)
    return NAME.render(plan.build(("qwertzuiop" * 30)[: plan.length]), parsed.layout)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("Ek", "Qwert"),
        ("EK", "QWERT"),
        ("Ek.", "Qwert."),
        ("Zóphoníasson", "Qwertzuiopqw"),
        ("Ivan Martin", "Qwer Tzuiop"),
        ("O'Neal", "Q'Wert"),
        ("O’Neal", "Q’Wert"),
        ("Anne-Marie St. John, Jr.", "Qwer-Tzuio Pq. Wert, Zu."),
        ("李小龍", "qwert"),
        ("J. R.", "Q. WERT."),
        ("Louis XIV", "Qwert ZUI"),
        ("zoe\u0308", "qwert"),
    ],
)
def test_tokens(text: str, token: str) -> None:
    assert token_of(text) == token
    assert NAME.render(NAME.parse(text).core, NAME.parse_token(token).layout) == text


@pytest.mark.parametrize(
    "text",
    [
        "Straße",
        "İlker",
        "ǅaba",
        "\u212aelvin",
        "ΟΔΥΣΣΕΥΣ",
        "１２３",
        "a\u200fb",
        "𐐀𐐁",
        "ﬁ",
        "ʼN",
        "\u0301\u0301",
        "ẞẞ",
        " -Ek- ",
        "\u00a0X\u3000y",
        "ⅣⅣ",
        "Ⓐ",
        "\U0001f468\u200d\U0001f469",
    ],
)
def test_hostile_names_come_back(text: str) -> None:
    token = token_of(text)
    letters = "".join(character for character in token if character.isalpha())
    assert letters.isascii()
    assert len(letters) >= 5
    assert NAME.render(NAME.parse(text).core, NAME.parse_token(token).layout) == text


def test_nfc_and_nfd_are_two_values() -> None:
    assert NAME.parse("Zo\u00eb").core != NAME.parse("Zoe\u0308").core


def test_case_and_separators_are_not_in_the_core() -> None:
    one, other = (NAME.parse(text).core for text in (" ANNE-MARIE.", "Anne  Marie"))
    assert one == other
    assert NAME.render(one, bare_layout(9)) == "annemarie"


def test_where_words_begin_is_in_the_core_and_not_in_a_token() -> None:
    assert isinstance(NAME, HasWords)
    assert NAME.words(NAME.parse("Anne-Marie O'Neal, Jr.").core) == [
        "anne",
        "marie",
        "o",
        "neal",
        "jr",
    ]
    assert NAME.parse("Anne Marie").core != NAME.parse("Annemarie").core
    assert NAME.parse_token("Qwer-Tzuio").core == "qwertzuio"


def test_the_letters_of_a_value_are_never_its_token() -> None:
    core = NAME.parse("Anne Marie").core
    plan = NAME.random_plan(core, 0)
    assert plan.build("annemarie") == core
    assert plan.build("annemarif") == "annemarif"


def test_short_names_get_longer_tokens_with_each_attempt() -> None:
    assert [len(token_of("Ek", attempt)) for attempt in range(3)] == [5, 6, 7]
    assert [len(token_of("Hamanová", attempt)) for attempt in (0, 3, 4)] == [8, 8, 9]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        (" ", Reason.VALUE_TOO_SHORT),
        ("-'.", Reason.VALUE_TOO_SHORT),
        ("x" * 257, Reason.VALUE_TOO_LONG),
        ("Secret\n", Reason.VALUE_NOT_IN_FORMAT),
        ("Sec\tret", Reason.VALUE_NOT_IN_FORMAT),
        ("Sec\x00ret", Reason.VALUE_NOT_IN_FORMAT),
        ("Sec\x85ret", Reason.VALUE_NOT_IN_FORMAT),
        ("Sec\u2028ret", Reason.VALUE_NOT_IN_FORMAT),
        ("Sec\udc00ret", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        NAME.parse(text)
    assert caught.value.reason is reason
    assert "Sec" not in caught.value.message


@pytest.mark.parametrize("text", ["", "Qwert1", "Qwërt", "\u212awert", "Qwert@x", "q" * 513])
def test_what_no_token_looks_like_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        NAME.parse_token(text)


def test_the_longest_name_has_a_token_that_is_read() -> None:
    text = "x " * 128
    assert NAME.parse_token(token_of(text, 7)).core == ("qwertzuiop" * 30)[:128]


def test_random_and_vaulted_only() -> None:
    assert NAME.generators == {Generator.RANDOM}
    assert NAME.storages == {Storage.VAULTED}
    assert NAME.effective_domain(Generator.RANDOM, Storage.VAULTED) == 26**5 >= 10**6
    assert NAME.check_generator(Generator.FF3_1, Storage.VAULTED) is not None
    with pytest.raises(FormatOptionError) as caught:
        build_format("person_name", min=2)
    assert caught.value.option == "min"


def test_a_greek_token_in_small_letters_with_final_sigmas_is_still_found() -> None:
    own = build_format("person_name", script="own")
    value = own.parse("ΖΗΒΔΕ ΨΝΩ")
    token = own.render("θπδσταασ", value.layout)
    assert token.endswith("Σ")
    lowered = token.lower()
    assert lowered.endswith("ς")
    read = own.parse_token(lowered)
    assert read.core == own.parse_token(token).core
    assert own.render(value.core, read.layout) == "ζηβδε ψνω"
