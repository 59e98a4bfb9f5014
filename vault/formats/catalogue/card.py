"""Payment card numbers: 12 to 19 digits with a Luhn check digit (ISO/IEC 7812-1).

The token's Luhn sum is set by one recomputed digit, never by walking the cipher until it
comes out right: walking to an invalid sum is not injective, walking to a valid one takes a
time that depends on the value. As values pass the Luhn check, that digit holds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vault.crypto.alphabet import NAMED_ALPHABETS, Alphabet
from vault.crypto.fpe.limbs import Digits
from vault.formats.base.contract import (
    Parsed,
    Plan,
    RandomPlan,
    check_random_storage,
    not_in_format,
    too_long,
    too_short,
)
from vault.formats.base.layout import (
    HYPHENS,
    SPACES,
    Layout,
    apply_layout,
    bare_layout,
    split_separators,
)
from vault.formats.base.luhn import luhn_check_digit, luhn_sum, luhn_sums, set_luhn_check_digits
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_integer,
    read_one_of,
)
from vault.formats.columnar.rows import ColumnarFormat, Mask, Segments
from vault.model import Generator, Storage

__all__ = ["Card", "CardOptions"]

TokenLuhn = Literal["valid", "invalid", "any"]
_TOKEN_LUHNS: tuple[TokenLuhn, ...] = ("valid", "invalid", "any")

_SHORTEST, _LONGEST = 12, 19
_KEEP_FIRST = (0, 6, 8)
_MAX_KEPT_LAST = 4
_LONGEST_TEXT = 2 * _LONGEST
_GAP = re.compile(f"[.{SPACES}{HYPHENS}]+")
# What a number becomes where a table was read with numbers for floats: another card, one time
# in ten, as the added zero may be the right check digit.
_FLOAT = re.compile(r"[^.]*[0-9]\.0{1,2}\s*")
_DIGITS = NAMED_ALPHABETS["digits"]
# Luhn sum of a token; None: not set, all digits that are not kept are enciphered.
_RESIDUES: Mapping[TokenLuhn, int | None] = {"valid": 0, "invalid": 1, "any": None}


@dataclass(frozen=True, slots=True)
class CardOptions(FormatOptions):
    """What a policy may say about ``card``.

    Attributes:
        min: fewest digits of a value.
        max: most digits of a value.
        keep_first: leading digits that the token keeps.
        keep_last: trailing digits that the token keeps.
        token_luhn: whether the token passes the Luhn check.
    """

    min: int | None = option(read_integer(1))
    max: int | None = option(read_integer(1))
    keep_first: int = option(read_integer(0), 0)
    keep_last: int = option(read_integer(0), 0)
    token_luhn: TokenLuhn | None = option(read_one_of(*_TOKEN_LUHNS))


class Card(ColumnarFormat):
    """The format ``card``."""

    name = "card"
    generators = frozenset(Generator)
    storages = frozenset(Storage)

    def __init__(self, options: CardOptions) -> None:
        self._min = _SHORTEST if options.min is None else options.min
        self._max = _LONGEST if options.max is None else options.max
        self._first = options.keep_first
        self._last = options.keep_last
        self._luhn: TokenLuhn = options.token_luhn or "invalid"
        self._check_options()
        self._residue = _RESIDUES[self._luhn]

    def _check_options(self) -> None:
        if not _SHORTEST <= self._min <= _LONGEST:
            raise FormatOptionError("min", f"a card has {_SHORTEST} to {_LONGEST} digits")
        if not self._min <= self._max <= _LONGEST:
            raise FormatOptionError("max", f"max of a card is from min to {_LONGEST}")
        if self._first not in _KEEP_FIRST:
            raise FormatOptionError("keep_first", "a card keeps its first 0, 6 or 8 digits")
        if not 0 <= self._last <= _MAX_KEPT_LAST:
            raise FormatOptionError("keep_last", f"a card keeps its last 0 to {_MAX_KEPT_LAST}")
        if self._luhn not in _RESIDUES:
            raise FormatOptionError("token_luhn", "token_luhn is valid, invalid or any")
        if self._secret_digits() < 1:
            raise FormatOptionError(
                "keep_first", f"nothing is left to tokenize in a card of {self._min} digits"
            )

    def _secret_digits(self) -> int:
        # One digit follows from the others by the Luhn check, whatever the token does.
        return self._min - self._first - self._last - 1

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {
            "rules": 1,
            "keep_first": self._first,
            "keep_last": self._last,
            "luhn_sum": "any" if self._residue is None else self._residue,
        }

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(_DIGITS.radix ** self._secret_digits())

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        if storage is Storage.VAULTLESS and self._residue is None:
            return "token_luhn any needs storage vaulted; use token_luhn valid or invalid"
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        parsed = _read(text)
        if parsed.layout.gaps and _FLOAT.fullmatch(text):
            raise not_in_format(
                "the card number ends in .0, as if read as a float; read it as text"
            )
        if len(parsed.core) < self._min:
            raise too_short(f"the card number has fewer than {self._min} digits")
        if len(parsed.core) > self._max:
            raise too_long(f"the card number has more than {self._max} digits")
        if luhn_sum(parsed.core) != 0:
            raise not_in_format("the card number fails the Luhn check")
        return parsed

    def parse_token(self, text: str) -> Parsed:
        parsed = _read(text)
        if not _SHORTEST <= len(parsed.core) <= _LONGEST:
            raise not_in_format("no card token has this length")
        if self._residue is not None and luhn_sum(parsed.core) != self._residue:
            raise not_in_format("no card token has this check digit")
        return parsed

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def token_plan(self, core: str, storage: Storage) -> Plan:
        head, middle, tail = self._split_core(core)
        return Plan(
            _DIGITS, middle, head + tail, lambda made: self._with_luhn_digit(head, made, tail)
        )

    def value_plan(self, token_core: str) -> Plan:
        if not self._min <= len(token_core) <= self._max:
            raise not_in_format("no card token has this length")
        head, middle, tail = self._split_core(token_core)
        if self._residue is None:
            return Plan(_DIGITS, middle, head + tail, lambda made: head + made + tail)
        return Plan(_DIGITS, middle, head + tail, lambda made: _with_sum(head + made, tail, 0))

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        head, middle, tail = self._split_core(core)
        return RandomPlan(
            _DIGITS, len(middle), lambda made: self._with_luhn_digit(head, made, tail)
        )

    @property
    def row_alphabet(self) -> Alphabet:
        return _DIGITS

    @property
    def row_lengths(self) -> range:
        return range(self._min, self._max + 1)

    def segments(self, length: int) -> Segments:
        end = length - self._last
        return Segments(self._first, end if self._residue is None else end - 1, end)

    def value_mask(self, rows: Digits) -> Mask:
        fits: Mask = luhn_sums(rows) == 0
        return fits

    def token_mask(self, rows: Digits) -> Mask:
        if self._residue is None:
            return np.ones(len(rows), np.bool_)
        fits: Mask = luhn_sums(rows) == self._residue
        return fits

    def set_token_check_digits(self, rows: Digits) -> None:
        if self._residue is not None:
            set_luhn_check_digits(rows, self._last, self._residue)

    def set_value_check_digits(self, rows: Digits) -> None:
        if self._residue is not None:
            set_luhn_check_digits(rows, self._last, 0)

    def _split_core(self, core: str) -> tuple[str, str, str]:
        """Returns what is kept, enciphered and kept; the digit to recompute is left out."""
        end = len(core) - self._last
        free = end if self._residue is None else end - 1
        return core[: self._first], core[self._first : free], core[end:]

    def _with_luhn_digit(self, head: str, made: str, tail: str) -> str:
        if self._residue is None:
            return head + made + tail
        return _with_sum(head + made, tail, self._residue)


def _with_sum(before: str, after: str, residue: int) -> str:
    return before + luhn_check_digit(before, after, residue) + after


def _read(text: str) -> Parsed:
    """Returns digits and separators of a card number of any length from 1."""
    if len(text) > _LONGEST_TEXT:
        raise too_long(f"the card number has more than {_LONGEST} digits, or too many separators")
    if text.isdigit() and text.isascii():
        return Parsed(text, bare_layout(len(text)))
    core, gaps = split_separators(text, _GAP)
    if not core:
        raise too_short("the card number has no digit")
    if not (core.isdigit() and core.isascii()):
        raise not_in_format("a card number has only the digits 0-9, spaces, hyphens and dots")
    return Parsed(core, Layout(len(core), gaps))
