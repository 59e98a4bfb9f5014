"""The Luhn check (ISO/IEC 7812-1, Annex B), and the digit that makes a sum come out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vault.crypto.fpe.limbs import Digits

__all__ = ["luhn_check_digit", "luhn_sum", "luhn_sums", "set_luhn_check_digits"]

# Counted from the right, every second digit weighs double, with its digits added up.
_DOUBLED = tuple(sum(divmod(2 * digit, 10)) for digit in range(10))
_SINGLE_WEIGHT = bytes(max(0, code - ord("0")) if code <= ord("9") else 0 for code in range(256))
_DOUBLE_WEIGHT = bytes(
    _DOUBLED[code - ord("0")] if ord("0") <= code <= ord("9") else 0 for code in range(256)
)
# The inverse of doubling, which is a permutation of the ten digits.
_HALVED = tuple(_DOUBLED.index(weight) for weight in range(10))
_DOUBLED_ROWS, _HALVED_ROWS = np.array(_DOUBLED, np.uint8), np.array(_HALVED, np.uint8)


def luhn_sum(digits: str) -> int:
    """Returns the Luhn sum modulo 10 of ASCII digits; 0 means that the check passes."""
    raw = digits.encode("ascii")
    single = raw[::-2].translate(_SINGLE_WEIGHT)
    double = raw[-2::-2].translate(_DOUBLE_WEIGHT)
    return (sum(single) + sum(double)) % 10


def luhn_check_digit(before: str, after: str, residue: int) -> str:
    """Returns the one digit between two runs of digits that makes the Luhn sum ``residue``."""
    weight = (residue - luhn_sum(f"{before}0{after}")) % 10
    return str(_HALVED[weight] if len(after) % 2 else weight)


def luhn_sums(rows: Digits) -> NDArray[np.uint16]:
    """Returns ``luhn_sum`` of each row of an (n, length) array of decimal digits."""
    single = rows[:, ::-2].sum(axis=1, dtype=np.uint16)
    double = _DOUBLED_ROWS[rows[:, -2::-2]].sum(axis=1, dtype=np.uint16)
    total: NDArray[np.uint16] = single + double
    total -= total // 10 * 10
    return total


def set_luhn_check_digits(rows: Digits, after: int, residue: int) -> None:
    """Sets the digit before the last ``after`` ones so that each row's sum is ``residue``."""
    at = rows.shape[1] - after - 1
    rows[:, at] = 0
    weights = (residue + 10 - luhn_sums(rows)) % 10
    rows[:, at] = _HALVED_ROWS[weights] if after % 2 else weights
