"""Postal addresses, in any script: digits become digits, all else becomes letters a-z.

Punctuation, line breaks and the case pattern stay. NFC and NFD spellings are two values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from vault.crypto.fpe.domain import MIN_DOMAIN
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
from vault.formats.base.random_choice import (
    character_classes,
    count_choices,
    random_characters_plan,
)
from vault.formats.base.random_only import LETTERS, RandomOnly
from vault.formats.base.spelling import text_spelling_key
from vault.model import Generator, Storage

__all__ = ["Address"]

_LONGEST = 512
_LONGEST_TOKEN = 2 * _LONGEST
_GAP = re.compile(rf"[\t\r\n,.;:'’\"()/#&+°º{SPACES}{HYPHENS}]+")
# Other controls, Unicode's line separators, and lone surrogates, which UTF-8 cannot carry.
_REFUSED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TOKEN = re.compile("[0-9a-z]*")


class Address(RandomOnly):
    """The format ``address``."""

    name = "address"
    unbounded: Literal[True] = True

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 2}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        """Six digits have the fewest tokens: whatever has fewer is widened."""
        return MIN_DOMAIN

    def parse(self, text: str) -> Parsed:
        if len(text) > _LONGEST:
            raise too_long(f"the address has more than {_LONGEST} characters")
        if _REFUSED.search(text):
            raise not_in_format("an address has no control characters or lone surrogates")
        return _read(text)

    def parse_token(self, text: str) -> Parsed:
        if len(text) > _LONGEST_TOKEN:
            raise not_in_format("no address token is as long")
        parsed = _read(text)
        if not _TOKEN.fullmatch(parsed.core):
            raise not_in_format("an address token has letters a-z and digits")
        return parsed

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def spelling_key(self, core: str) -> str:
        return text_spelling_key(core)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        choices = character_classes(core)
        while count_choices(choices) < MIN_DOMAIN:
            choices.append(LETTERS.characters)
        return random_characters_plan([*choices, *[LETTERS.characters] * attempt], str)


def _read(text: str) -> Parsed:
    letters, gaps = split_separators(text, _GAP)
    if not letters:
        raise too_short("the address has no character besides punctuation")
    core, capitals = fold_case(letters)
    return Parsed(core, Layout(len(core), gaps, capitals))
