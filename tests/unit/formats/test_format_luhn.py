from __future__ import annotations

import pytest

from vault.formats.base.luhn import luhn_check_digit, luhn_sum


@pytest.mark.parametrize(
    ("digits", "total"),
    [
        ("4111111111111111", 0),
        ("378282246310005", 0),  # 15 digits: the parity counts from the right
        ("79927398713", 0),  # the example usually given for ISO/IEC 7812-1
        ("79927398710", 7),
        ("0", 0),
        ("18", 0),
    ],
)
def test_luhn_sum(digits: str, total: int) -> None:
    assert luhn_sum(digits) == total


@pytest.mark.parametrize("after", ["", "7", "42", "411", "1111"])
@pytest.mark.parametrize("residue", range(10))
def test_closing_digit_sets_the_sum_wherever_it_stands(after: str, residue: int) -> None:
    closed = "41111" + luhn_check_digit("41111", after, residue) + after
    assert luhn_sum(closed) == residue


@pytest.mark.parametrize("after", ["", "7"])
def test_each_residue_has_its_own_digit(after: str) -> None:
    assert {luhn_check_digit("123", after, residue) for residue in range(10)} == set("0123456789")
