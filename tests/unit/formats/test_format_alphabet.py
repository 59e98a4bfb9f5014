from __future__ import annotations

import pytest

from vault.crypto import FF1, FF3_1
from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.crypto.fpe.domain import ff3_1_max_length
from vault.errors import FormatError, Reason
from vault.formats import Format, FormatOptionError, OptionValues, build_format
from vault.model import Generator, Storage


def plain(
    alphabet: str = "alphanumeric",
    low: int = 6,
    high: int | None = 24,
    *,
    first: int = 0,
    last: int = 0,
    separators: str | None = None,
) -> Format:
    return build_format(
        "alphabet",
        min=low,
        max=high,
        keep_first=first,
        keep_last=last,
        alphabet=alphabet,
        separators=separators,
    )


@pytest.mark.parametrize(
    "text",
    [
        "308.271.618-08",
        "KY 97 49 93 A",
        "760211-4105",
        "2791269679323 49",
        "SZ30479384",
        "abcDEF",
        "-A-B-C-1-2-3-",
    ],
)
def test_national_ids_are_their_characters_and_separators(text: str) -> None:
    parsed = plain().parse(text)
    assert parsed.core == "".join(character for character in text if character.isalnum())
    assert plain().render(parsed.core, parsed.layout) == text
    assert plain().parse_token(text) == parsed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("---", Reason.VALUE_TOO_SHORT),
        ("X4111", Reason.VALUE_TOO_SHORT),
        ("X" * 25, Reason.VALUE_TOO_LONG),
        ("X" * 10 + "-" * 39, Reason.VALUE_TOO_LONG),
        ("X411111/5", Reason.VALUE_NOT_IN_FORMAT),
        ("X411111é", Reason.VALUE_NOT_IN_FORMAT),
        ("X411111\n", Reason.VALUE_NOT_IN_FORMAT),
        ("X41111١", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        plain().parse(text)
    assert caught.value.reason is reason
    assert "X411" not in caught.value.message


@pytest.mark.parametrize(
    ("core", "drawn_from"),
    [
        ("SZ30479384", "alphanumeric_upper"),
        ("30479384", "alphanumeric_upper"),
        ("sz30479384", "alphanumeric_lower"),
        ("Sz30479384", "alphanumeric"),
    ],
)
def test_a_vaulted_token_is_in_the_case_of_its_value(core: str, drawn_from: str) -> None:
    vaulted = plain().token_plan(core, Storage.VAULTED)
    assert set(vaulted.alphabet.characters) == set(NAMED_ALPHABETS[drawn_from].characters)
    assert plain().random_plan(core, 0).alphabet == vaulted.alphabet
    assert plain().token_plan(core, Storage.VAULTLESS).alphabet == NAMED_ALPHABETS["alphanumeric"]


def test_equal_numerals_of_the_two_cases_have_two_tweaks() -> None:
    capitals = plain().token_plan("ABC123", Storage.VAULTED)
    small = plain().token_plan("abc123", Storage.VAULTED)
    assert capitals.alphabet.encode(capitals.text) == small.alphabet.encode(small.text)
    assert capitals.kept != small.kept


def test_case_is_part_of_the_core() -> None:
    assert plain().parse("ABC123").core != plain().parse("abc123").core


def test_one_case_or_incomplete_pairs_are_used_as_they_are() -> None:
    base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    for name, core in (("upper", "ABCDEFGH"), ("hex_lower", "0123abcd"), (base58, "ABCDEFGH")):
        made = plain(name)
        expected = NAMED_ALPHABETS[name].characters if name in NAMED_ALPHABETS else base58
        assert made.token_plan(core, Storage.VAULTED).alphabet.characters == expected


def test_an_alphabet_with_one_letter_in_both_cases_is_not_split() -> None:
    assert plain("Aa").token_plan("AAAAAA", Storage.VAULTED).alphabet.characters == "Aa"


def test_kept_characters_stay_and_enter_the_tweak() -> None:
    made = plain("digits", 10, 20, first=2, last=3)
    plan = made.token_plan("0123456789", Storage.VAULTLESS)
    assert (plan.text, plan.kept) == ("23456", "01789")
    assert plan.build("99999") == "0199999789"
    assert made.value_plan("0199999789").build("23456") == "0123456789"
    assert made.random_plan("0123456789", 3).length == 5
    assert made.effective_domain(Generator.FF1, Storage.VAULTLESS) == 10**5


def test_the_case_that_counts_is_that_of_the_enciphered_part() -> None:
    plan = plain(last=2).token_plan("ABCDEFgh", Storage.VAULTED)
    assert plan.alphabet.radix == 36
    assert plan.kept.endswith("gh")


@pytest.mark.parametrize(
    ("alphabet", "storage", "domain"),
    [
        ("digits", Storage.VAULTED, 10**6),
        ("alphanumeric", Storage.VAULTED, 36**6),
        ("alphanumeric", Storage.VAULTLESS, 62**6),
        ("letters", Storage.VAULTED, 26**6),
        ("0123456789abcdefABCDEF", Storage.VAULTED, 16**6),
        ("ACGT", Storage.VAULTLESS, 4**6),
    ],
)
def test_effective_domain_counts_the_smallest_alphabet_at_the_least_length(
    alphabet: str, storage: Storage, domain: int
) -> None:
    assert plain(alphabet).effective_domain(Generator.FF1, storage) == domain


def test_ff3_1_is_refused_beyond_its_longest_input() -> None:
    longest = ff3_1_max_length(10)
    assert plain("digits", 10, longest).check_generator(Generator.FF3_1, Storage.VAULTED) is None
    kept = plain("digits", 10, longest + 4, last=4)
    assert kept.check_generator(Generator.FF3_1, Storage.VAULTLESS) is None
    long = plain("digits", 10, longest + 1)
    assert f"set max to {longest}" in str(long.check_generator(Generator.FF3_1, Storage.VAULTED))
    assert long.check_generator(Generator.FF1, Storage.VAULTED) is None
    assert long.check_generator(Generator.RANDOM, Storage.VAULTLESS) is not None
    assert plain(high=None).check_generator(Generator.FF3_1, Storage.VAULTED) is not None


@pytest.mark.parametrize("alphabet", ["digits", "upper", "alphanumeric", "hex_lower"])
@pytest.mark.parametrize("storage", list(Storage))
def test_no_accepted_length_fails_in_a_cipher(alphabet: str, storage: Storage) -> None:
    characters = NAMED_ALPHABETS[alphabet].characters
    longest = ff3_1_max_length(len(characters))
    low = next(
        n
        for n in range(2, 21)
        if plain(alphabet, n).effective_domain(Generator.FF3_1, storage) >= 10**6
    )
    made = plain(alphabet, low, longest)
    assert made.check_generator(Generator.FF3_1, storage) is None
    for core in (characters[-1] * low, (characters * longest)[:longest]):
        plan = made.token_plan(core, storage)
        numerals, radix = plan.alphabet.encode(plan.text), plan.alphabet.radix
        for cipher in (FF1(bytes(32), radix), FF3_1(bytes(32), radix)):
            assert cipher.decrypt(cipher.encrypt(numerals, bytes(7)), bytes(7)) == numerals


def test_tokens_outlive_a_narrower_min_and_max() -> None:
    narrow = plain("digits", 10, 12)
    assert narrow.parse_token("123456").core == "123456"
    assert narrow.parse_token("1" * 40).core == "1" * 40
    for token in ("123456", "1" * 40):
        with pytest.raises(FormatError):
            narrow.value_plan(token)


@pytest.mark.parametrize("text", ["", "--", "12", "1234567x", "1" * 1025])
def test_what_no_token_looks_like_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        plain("digits", first=1, last=1).parse_token(text)


def test_separators_may_be_chosen_or_none() -> None:
    assert plain("digits", separators="/").parse("12/34/56").core == "123456"
    with pytest.raises(FormatError):
        plain("digits", separators="/").parse("12-34-56")
    with pytest.raises(FormatError):
        plain("digits", separators="").parse("12-34-56")
    dashed = plain("0123456789-")
    assert dashed.parse("12-34 5").core == "12-345"
    assert (
        plain("digits", separators="/-").token_spec()
        == plain("digits", separators="-/-").token_spec()
    )


@pytest.mark.parametrize(
    ("option", "options"),
    [
        ("alphabet", {"min": 6}),
        ("alphabet", {"alphabet": "", "min": 6}),
        ("alphabet", {"alphabet": "digit", "min": 6}),
        ("alphabet", {"alphabet": "hex", "min": 6}),
        ("alphabet", {"alphabet": "0012", "min": 6}),
        ("alphabet", {"alphabet": "0", "min": 6}),
        ("alphabet", {"alphabet": "01\u0301", "min": 6}),
        ("min", {"alphabet": "digits"}),
        ("min", {"alphabet": "digits", "min": 0}),
        ("min", {"alphabet": "digits", "min": 513}),
        ("max", {"alphabet": "digits", "min": 6, "max": 5}),
        ("max", {"alphabet": "digits", "min": 6, "max": 513}),
        ("keep_first", {"alphabet": "digits", "min": 6, "keep_first": 6}),
        ("keep_last", {"alphabet": "digits", "min": 6, "keep_last": -1}),
        ("keep_last", {"alphabet": "digits", "min": 6, "keep_first": 3, "keep_last": 3}),
        ("separators", {"alphabet": "lower", "min": 6, "separators": "ab"}),
        ("separators", {"alphabet": "lower", "min": 6, "separators": "-X"}),
        ("separators", {"alphabet": "lower", "min": 6, "separators": "\n"}),
        ("separators", {"alphabet": "lower", "min": 6, "separators": "\u2028"}),
        ("token_luhn", {"alphabet": "digits", "min": 6, "token_luhn": "valid"}),
        ("keep_domain", {"alphabet": "digits", "min": 6, "keep_domain": True}),
    ],
)
def test_options_that_do_not_fit_are_named(option: str, options: OptionValues) -> None:
    with pytest.raises(FormatOptionError) as caught:
        build_format("alphabet", **options)
    assert caught.value.option == option


def test_the_token_spec_has_what_decides_tokens_and_no_bounds() -> None:
    assert plain().token_spec() == plain(low=8, high=9).token_spec()
    specs = [plain(), plain("digits"), plain(first=1), plain(last=1), plain(separators="/")]
    assert len({tuple(made.token_spec().items()) for made in specs}) == len(specs)
