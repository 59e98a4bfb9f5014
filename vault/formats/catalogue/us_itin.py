"""US individual taxpayer identification numbers: 9xx-gg-xxxx with a group the IRS issues."""

from __future__ import annotations

from collections.abc import Mapping

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.formats.base.contract import (
    Parsed,
    Plan,
    RandomPlan,
    check_random_storage,
    not_in_format,
)
from vault.formats.base.layout import Layout, apply_layout
from vault.formats.base.nine_digits import ITIN_GROUPS, read_nine_digits
from vault.formats.base.random_choice import count_choices, random_characters_plan
from vault.model import Generator, Storage

__all__ = ["UsItin"]

_WHAT = "an ITIN"
_AREA, _GROUP = slice(1, 3), slice(3, 5)
_DIGITS = NAMED_ALPHABETS["digits"]
_CHOICES = (
    "9",
    *[_DIGITS.characters] * 2,
    tuple(sorted(ITIN_GROUPS)),
    *[_DIGITS.characters] * 4,
)
_ENCIPHERED = 6


class UsItin:
    """The format ``us_itin``."""

    name = "us_itin"
    generators = frozenset(Generator)
    storages = frozenset(Storage)

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        """FPE keeps the group, which is no power of a radix."""
        if generator is Generator.RANDOM:
            return count_choices(_CHOICES)
        return int(_DIGITS.radix**_ENCIPHERED)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        parsed = read_nine_digits(text, _WHAT)
        if parsed.core[0] != "9" or parsed.core[_GROUP] not in ITIN_GROUPS:
            raise not_in_format(
                "an ITIN begins with 9, and its middle digits are 50-65, 70-88, 90-92 or 94-99"
            )
        return parsed

    def parse_token(self, text: str) -> Parsed:
        return self.parse(text)

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def token_plan(self, core: str, storage: Storage) -> Plan:
        return self.value_plan(core)

    def value_plan(self, token_core: str) -> Plan:
        group = token_core[_GROUP]
        text = token_core[_AREA] + token_core[5:]
        return Plan(_DIGITS, text, group, lambda made: f"9{made[:2]}{group}{made[2:]}")

    def space(self) -> tuple[int, RandomPlan]:
        return count_choices(_CHOICES), random_characters_plan(_CHOICES, str)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        return random_characters_plan(_CHOICES, str)
