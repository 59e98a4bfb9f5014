"""Numeral strings and the integers they stand for (SP 800-38G section 4.6: NUM, STR, REV)."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence, Sized
from itertools import chain
from operator import index
from typing import TypeVar

import numpy as np

from vault.crypto.fpe.limbs import Digits

__all__ = ["by_length", "check_numerals", "from_number", "to_array", "to_number"]

_OUTSIDE = "a digit is outside of the radix"

Row = TypeVar("Row", bound=Sized)
Result = TypeVar("Result")
Other = TypeVar("Other")


def check_numerals(digits: Sequence[int], radix: int, shortest: int, longest: int) -> list[int]:
    """Copies the digits as plain ints. Raises ValueError or TypeError, never quoting one."""
    if not shortest <= len(digits) <= longest:
        raise ValueError(f"the length must be from {shortest} to {longest}")
    numerals = [index(digit) for digit in digits]
    if min(numerals) < 0 or max(numerals) >= radix:
        raise ValueError(_OUTSIDE)
    return numerals


def to_number(digits: Sequence[int], radix: int) -> int:
    """NUM: the number of digits with the most significant first."""
    number = 0
    for digit in digits:
        number = number * radix + digit
    return number


def from_number(number: int, radix: int, length: int) -> list[int]:
    """STR reversed: ``length`` digits of a number, the least significant first."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, radix)
        digits.append(digit)
    return digits


def to_array(rows: Sequence[Sequence[int]], radix: int) -> Digits:
    """Makes an array of rows of one length. Raises ValueError or TypeError, never quoting one."""
    shape = len(rows), len(rows[0])
    flat = chain.from_iterable(rows)
    try:
        if radix <= 256:
            return np.frombuffer(bytes(flat), np.uint8).reshape(shape)
        return np.frombuffer(array("H", flat), np.uint16).reshape(shape)
    except (OverflowError, ValueError):
        raise ValueError(_OUTSIDE) from None


def by_length(
    rows: Sequence[Row],
    others: Sequence[Other],
    run: Callable[[Sequence[Row], Sequence[Other]], list[Result]],
) -> list[Result]:
    """Runs the rows of each length together, and returns the results in the rows' order.

    Raises ValueError where ``others`` are not as many as the rows.
    """
    if len(rows) != len(others):
        raise ValueError("there must be one tweak for each value")
    lengths = list(map(len, rows))
    found = set(lengths)
    if len(found) == 1:
        return run(rows, others)
    results: dict[int, Result] = {}
    for length in found:
        at = [i for i, own in enumerate(lengths) if own == length]
        group = run([rows[i] for i in at], [others[i] for i in at])
        results.update(zip(at, group, strict=True))
    return [results[i] for i in range(len(rows))]
