from __future__ import annotations

import pytest

from vault.errors import FormatError, Reason
from vault.formats import FormatOptionError, build_format
from vault.model import Generator, Storage

SSN = build_format("us_ssn")
KEPT = build_format("us_ssn", keep_last=4)


@pytest.mark.parametrize("text", ["123456789", "123-45-6789", "123 45 6789", "000-00-0000"])
def test_the_written_forms(text: str) -> None:
    parsed = SSN.parse(text)
    assert parsed.core == text.replace("-", "").replace(" ", "")
    assert SSN.render(parsed.core, parsed.layout) == text
    assert SSN.parse_token(text) == parsed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.VALUE_TOO_SHORT),
        ("12345678", Reason.VALUE_TOO_SHORT),
        ("123-45-678", Reason.VALUE_TOO_SHORT),
        ("123-4-56789x", Reason.VALUE_NOT_IN_FORMAT),
        ("1234567890", Reason.VALUE_TOO_LONG),
        ("123-45-67890", Reason.VALUE_TOO_LONG),
        ("12-345-6789", Reason.VALUE_NOT_IN_FORMAT),
        ("123-45 6789", Reason.VALUE_NOT_IN_FORMAT),
        ("123--456789", Reason.VALUE_NOT_IN_FORMAT),
        (" 123456789", Reason.VALUE_NOT_IN_FORMAT),
        ("123_45_6789", Reason.VALUE_NOT_IN_FORMAT),
        ("12345678x", Reason.VALUE_NOT_IN_FORMAT),
        ("١٢٣٤٥٦٧٨٩", Reason.VALUE_NOT_IN_FORMAT),
        ("12345678²", Reason.VALUE_NOT_IN_FORMAT),
        ("１２３-45-6789", Reason.VALUE_NOT_IN_FORMAT),
    ],
)
def test_what_is_no_ssn_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(FormatError) as caught:
        SSN.parse(text)
    assert caught.value.reason is reason
    assert "123" not in caught.value.message


def test_all_nine_digits_are_enciphered() -> None:
    plan = SSN.token_plan("123456789", Storage.VAULTLESS)
    assert (plan.text, plan.kept) == ("123456789", "")
    assert plan.build("987654321") == "987654321"
    assert SSN.value_plan("987654321").build("123456789") == "123456789"
    assert SSN.effective_domain(Generator.FF1, Storage.VAULTLESS) == 10**9


def test_keeping_the_last_four_counts_off_the_domain() -> None:
    plan = KEPT.token_plan("123456789", Storage.VAULTED)
    assert (plan.text, plan.kept) == ("12345", "6789")
    assert plan.build("54321") == "543216789"
    assert KEPT.random_plan("123456789", 0).build("54321") == "543216789"
    assert KEPT.effective_domain(Generator.RANDOM, Storage.VAULTED) == 10**5


def test_generators_and_options() -> None:
    assert SSN.check_generator(Generator.FF3_1, Storage.VAULTLESS) is None
    assert SSN.check_generator(Generator.RANDOM, Storage.VAULTLESS) is not None
    assert SSN.token_spec() != KEPT.token_spec()
    for option, options in {
        "keep_last": {"keep_last": 5},
        "keep_first": {"keep_first": 3},
        "min": {"min": 9},
    }.items():
        with pytest.raises(FormatOptionError) as caught:
            build_format("us_ssn", **options)
        assert caught.value.option == option
