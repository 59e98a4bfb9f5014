"""Whole and decimal numbers: the sign and the places after the point stay, the size does not.

A token is any number of up to ``max`` digits before the point, whatever the value's size: a
value of two digits would otherwise have ninety tokens. Negative numbers are counted from -1,
so that no token is -0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.errors import FormatError
from vault.formats.base.contract import (
    Parsed,
    Plan,
    RandomPlan,
    check_random_storage,
    not_in_format,
    too_long,
    too_short,
)
from vault.formats.base.layout import Layout, bare_layout
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_integer,
)
from vault.model import Generator, Storage

__all__ = ["Decimal", "Integer", "NumberOptions"]

MAX_DIGITS = 38
"""Most digits before the point that a policy may allow."""

MAX_PLACES = 18
"""Most digits after the point of a decimal."""

_LONGEST_TEXT = 64
_DIGITS = NAMED_ALPHABETS["digits"]
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class NumberOptions(FormatOptions):
    """What a policy may say about ``integer`` and ``decimal``.

    Attributes:
        max: most digits before the point, of values and tokens.
    """

    max: int | None = option(read_integer(1))


class _Number:
    """What whole and decimal numbers have in common.

    Attributes:
        default_max: most digits before the point, where the policy does not say.
    """

    name: str
    default_max: int
    generators = frozenset(Generator)
    storages = frozenset(Storage)
    _text: re.Pattern[str]
    _rule: str
    _before_point = ""

    def __init__(self, options: NumberOptions) -> None:
        self._max = self.default_max if options.max is None else options.max
        if not 1 <= self._max <= MAX_DIGITS:
            raise FormatOptionError("max", f"max of {self.name} is from 1 to {MAX_DIGITS}")

    def token_spec(self) -> Mapping[str, str | int | bool]:
        """Here ``max`` decides the tokens."""
        return {"rules": 1, "max": self._max}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(_DIGITS.radix**self._max)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        if not text:
            raise too_short("the number is empty")
        if len(text) > _LONGEST_TEXT:
            raise self._too_long()
        if not self._text.fullmatch(text):
            raise not_in_format(self._rule)
        sign, number, places = _parse_number(text)
        if sign and number == 0:
            raise not_in_format("zero has no sign")
        if places > MAX_PLACES:
            raise too_long(f"the number has more than {MAX_PLACES} digits after its point")
        if number - bool(sign) >= 10 ** (self._max + places):
            raise self._too_long()
        return Parsed(text, bare_layout(len(text)))

    def _too_long(self) -> FormatError:
        return too_long(
            f"the number has more than {self._max} digits{self._before_point}: leave it out, or "
            "give the field a greater max"
        )

    def parse_token(self, text: str) -> Parsed:
        return self.parse(text)

    def render(self, core: str, layout: Layout) -> str:
        return core

    def token_plan(self, core: str, storage: Storage) -> Plan:
        return self.value_plan(core)

    def value_plan(self, token_core: str) -> Plan:
        sign, number, places = _parse_number(token_core)
        text = f"{number - bool(sign):0{self._max + places}d}"

        def build(made: str) -> str:
            digits = str(int(made) + bool(sign)).zfill(places + 1)
            point = len(digits) - places
            return f"{sign}{digits[:point]}.{digits[point:]}" if places else sign + digits

        return Plan(_DIGITS, text, f"{sign}{places}", build)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        plan = self.value_plan(core)
        return RandomPlan(_DIGITS, len(plan.text), plan.build)


def _parse_number(text: str) -> tuple[str, int, int]:
    """Returns the sign, the number without its point, and the places after the point."""
    sign = "-" if text.startswith("-") else ""
    whole, _, fraction = text[len(sign) :].partition(".")
    return sign, int(whole + fraction), len(fraction)


class Integer(_Number):
    """The format ``integer``. By default of 18 digits, which fit 64 bits."""

    name = "integer"
    default_max = 18
    _text = _INTEGER
    _rule = "write the number in digits, with a - if negative, without leading zeros or grouping"


class Decimal(_Number):
    """The format ``decimal``."""

    name = "decimal"
    _before_point = " before its point"
    default_max = 12
    _text = _DECIMAL
    _rule = (
        "write the number in digits with a point, with a - if negative, without leading zeros, "
        "grouping, currency or exponent"
    )

    def spelling_key(self, core: str) -> str:
        """Returns the number without trailing zeros."""
        return core.rstrip("0").rstrip(".") if "." in core else core
