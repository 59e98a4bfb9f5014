"""Postcodes of the US, Canada and the United Kingdom."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vault.formats.base.contract import (
    Parsed,
    RandomPlan,
    not_in_format,
    too_long,
    too_short,
)
from vault.formats.base.layout import (
    HYPHENS,
    SPACES,
    Layout,
    apply_layout,
    fold_case,
    split_separators,
)
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_text,
)
from vault.formats.base.random_choice import (
    character_classes,
    count_choices,
    random_characters_plan,
)
from vault.formats.base.random_only import RandomOnly
from vault.model import Generator, Storage

__all__ = ["Postcode", "PostcodeOptions"]

_LONGEST = 9
_LONGEST_TEXT = 2 * _LONGEST
_GAP = re.compile(f"[.{SPACES}{HYPHENS}]+")


@dataclass(frozen=True, slots=True)
class _Country:
    """How one country writes its postcodes.

    Attributes:
        core: what they look like without separators, in small letters.
        shortest: a core with the fewest tokens.
        choices: the characters to choose each token character from, for a core.
        area: how many leading characters name the area, for a core.
        rule: for messages.
    """

    core: re.Pattern[str]
    shortest: str
    choices: Callable[[str], Sequence[str]]
    area: Callable[[str], int]
    rule: str


_DIGITS = "0123456789"
_CA_LETTERS = "abceghjklmnprstvwxyz"
_CA_CHOICES = ("abceghjklmnprstvxy", _DIGITS, _CA_LETTERS, _DIGITS, _CA_LETTERS, _DIGITS)
_GB_LETTERS = "abdefghjlnpqrstuwxyz"
_GB_INWARD = (_DIGITS, _GB_LETTERS, _GB_LETTERS)


def _gb_choices(core: str) -> Sequence[str]:
    return [*character_classes(core[:-3]), *_GB_INWARD]


_COUNTRIES: Mapping[str, _Country] = {
    "US": _Country(
        core=re.compile(r"[0-9]{5}(?:[0-9]{4})?"),
        shortest="00000",
        choices=character_classes,
        area=lambda _: 3,
        rule="a US postcode has five digits, or nine",
    ),
    "CA": _Country(
        core=re.compile("".join([f"[{each}]" for each in _CA_CHOICES])),
        shortest="a0a0a0",
        choices=lambda _: _CA_CHOICES,
        area=lambda _: 3,
        rule=(
            "a Canadian postcode is letter, digit, letter, digit, letter, digit (A1A 1A1), without "
            "D, F, I, O, Q, U, and does not begin with W or Z"
        ),
    ),
    "GB": _Country(
        core=re.compile(rf"[a-z]{{1,2}}[0-9][0-9a-z]?[0-9][{_GB_LETTERS}]{{2}}"),
        shortest="a00aa",
        choices=_gb_choices,
        area=lambda core: len(core) - 3,
        rule=(
            "a UK postcode is one of A9 9AA, A99 9AA, A9A 9AA, AA9 9AA, AA99 9AA, AA9A 9AA, the "
            "last two letters none of C, I, K, M, O, V; the Forces' codes are not taken"
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class PostcodeOptions(FormatOptions):
    """What a policy may say about ``postcode``.

    Attributes:
        region: ISO 3166-1 alpha-2 code of the country whose postcodes they are.
    """

    region: str | None = option(read_text)


class Postcode(RandomOnly):
    """The format ``postcode``: letters become letters, digits become digits."""

    name = "postcode"
    parts = ("area",)

    def __init__(self, options: PostcodeOptions) -> None:
        country = _COUNTRIES.get(options.region or "")
        if country is None:
            raise FormatOptionError("region", f"region is one of {', '.join(_COUNTRIES)}")
        self._region = options.region or ""
        self._country = country

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1, "region": self._region}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return count_choices(self._country.choices(self._country.shortest))

    def parse(self, text: str) -> Parsed:
        if not text:
            raise too_short("the postcode is empty")
        if len(text) > _LONGEST_TEXT:
            raise too_long(self._country.rule)
        letters, gaps = split_separators(text, _GAP)
        # Only ASCII letters fold here: the pattern refuses what is not.
        core, capitals = fold_case(letters)
        if not letters.isascii() or not self._country.core.fullmatch(core):
            raise not_in_format(self._country.rule)
        return Parsed(core, Layout(len(core), gaps, capitals))

    def parse_token(self, text: str) -> Parsed:
        return self.parse(text)

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        """The area is a US or Canadian first three, a UK outward code."""
        return {"area": (0, self._country.area(core))}

    def space(self) -> tuple[int, RandomPlan]:
        """Counted over the shortest postcodes, which have the fewest tokens."""
        shortest = self._country.shortest
        return count_choices(self._country.choices(shortest)), self.random_plan(shortest, 0)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        return random_characters_plan(self._country.choices(core), str)
