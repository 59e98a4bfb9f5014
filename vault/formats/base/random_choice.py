"""Random tokens that are not one run of one alphabet: one random number, written out.

A number below ``size`` is chosen with 64 bits to spare, so no token is likelier than another
by more than 2^-64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.formats.base.contract import RandomPlan

__all__ = [
    "character_classes",
    "count_choices",
    "random_characters_plan",
    "random_number_plan",
    "same_classes_plan",
]

_HEX = NAMED_ALPHABETS["hex_lower"]
_SPARE_BITS = 64
_DIGITS = NAMED_ALPHABETS["digits"].characters
_LETTERS = NAMED_ALPHABETS["lower"].characters


def random_number_plan(size: int, build: Callable[[int], str]) -> RandomPlan:
    """Plans a token made of a uniform number from 0 to ``size`` - 1."""
    length = -(-(size.bit_length() + _SPARE_BITS) // 4)
    return RandomPlan(_HEX, length, lambda made: build(int(made, 16) % size))


def random_characters_plan(
    choices: Sequence[Sequence[str]], build: Callable[[str], str]
) -> RandomPlan:
    """Plans a token made of one character (or text) of each of ``choices``, in order."""

    def write(rank: int) -> str:
        made: list[str] = []
        for each in choices:
            rank, at = divmod(rank, len(each))
            made.append(each[at])
        return build("".join(made))

    return random_number_plan(count_choices(choices), write)


def same_classes_plan(core: str) -> RandomPlan:
    """Plans a token with a digit for every digit, and a letter a-z for all else."""
    return random_characters_plan(character_classes(core), str)


def character_classes(core: str) -> list[str]:
    """Returns the class of each character of a core: the digits, or a-z."""
    return [_DIGITS if character in _DIGITS else _LETTERS for character in core]


def count_choices(choices: Sequence[Sequence[str]]) -> int:
    """Returns how many texts have one character (or text) of each of ``choices``."""
    size = 1
    for each in choices:
        size *= len(each)
    return size
