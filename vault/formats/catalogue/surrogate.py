"""Surrogates: placeholders for values of any form, as they stand in free text.

``[PERSON_7K2M9X4C1B8DQW3FZT5H]``: a type name and 20 characters of Crockford's base 32,
which has no I, L, O and U. The brackets and the fixed length see to it that no surrogate
is a part of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vault.crypto.alphabet import Alphabet
from vault.formats.base.contract import (
    Parsed,
    RandomPlan,
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
    read_text,
)
from vault.formats.base.random_only import RandomOnly
from vault.formats.base.spelling import text_spelling_key
from vault.model import Generator, Storage

__all__ = [
    "BODY_LENGTH",
    "CHARACTERS",
    "CHECK_LENGTH",
    "LABEL",
    "Surrogate",
    "SurrogateOptions",
    "find_surrogates",
]

CHARACTERS = Alphabet("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
"""The characters of a surrogate's body, each worth five bits."""

BODY_LENGTH = 20
"""Characters of a body."""

CHECK_LENGTH = 4
"""How many of them, at the end, may hold a keyed checksum."""

LABEL = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
"""What a type name looks like."""

_LONGEST = 10_000
_DEFAULT_LABEL = "VALUE"
_BODY = f"[{CHARACTERS.characters}]{{{BODY_LENGTH}}}"
_ANY = re.compile(rf"\[({LABEL.pattern})_({_BODY})\]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class SurrogateOptions(FormatOptions):
    """What a policy may say about ``surrogate``.

    Attributes:
        max: most characters of a value.
        label: type name in the token.
    """

    max: int | None = option(read_integer(1))
    label: str | None = option(read_text)


class Surrogate(RandomOnly):
    """The format ``surrogate``: the value is the core, whatever it is."""

    name = "surrogate"

    def __init__(self, options: SurrogateOptions) -> None:
        self._label = _DEFAULT_LABEL if options.label is None else options.label
        self._max = _LONGEST if options.max is None else options.max
        if not LABEL.fullmatch(self._label):
            raise FormatOptionError(
                "label", "label is a capital letter and up to 31 more of A-Z, 0-9 and _"
            )
        if not 1 <= self._max <= _LONGEST:
            raise FormatOptionError("max", f"max of surrogate is from 1 to {_LONGEST}")

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1, "label": self._label}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        """A checksum is not counted."""
        return int(CHARACTERS.radix ** (BODY_LENGTH - CHECK_LENGTH))

    def parse(self, text: str) -> Parsed:
        if not text:
            raise too_short("the value is empty")
        if len(text) > self._max:
            raise too_long(f"the value has more than {self._max} characters")
        if _LONE_SURROGATE.search(text):
            raise not_in_format("the value has a lone surrogate code point, which is no character")
        return Parsed(text, bare_layout(0))

    def parse_token(self, text: str) -> Parsed:
        match = _ANY.fullmatch(text)
        if match is None or match[1] != self._label:
            raise not_in_format(f"a token is [{self._label}_ and {BODY_LENGTH} characters and ]")
        return Parsed(text, bare_layout(0))

    def render(self, core: str, layout: Layout) -> str:
        return core

    def spelling_key(self, core: str) -> str:
        """Spaces count as one each, and at the ends not at all."""
        return " ".join(text_spelling_key(core).split())

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        return RandomPlan(CHARACTERS, BODY_LENGTH, lambda made: f"[{self._label}_{made}]")


def find_surrogates(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Yields start, end, type name and body of what looks like a surrogate, in order."""
    for match in _ANY.finditer(text):
        yield match.start(), match.end(), match[1], match[2]
