"""Numbers of passports, driving licences and the like, whoever issues them.

A token has a letter where its value has one and a digit where it has a digit, in the value's
separators and case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    read_integer,
)
from vault.formats.base.random_choice import same_classes_plan
from vault.formats.base.random_only import RandomOnly
from vault.model import Generator, Storage

__all__ = ["DocumentNumber", "DocumentNumberOptions"]

_DEFAULT_MIN, _LONGEST = 6, 40
_GAP = re.compile(f"[,./*<()+{SPACES}{HYPHENS}]+")
_CORE = re.compile("[0-9a-z]*")


@dataclass(frozen=True, slots=True)
class DocumentNumberOptions(FormatOptions):
    """What a policy may say about ``document_number``.

    Attributes:
        min: fewest letters and digits of a value.
        max: most letters and digits of a value.
    """

    min: int | None = option(read_integer(1))
    max: int | None = option(read_integer(1))


class DocumentNumber(RandomOnly):
    """The format ``document_number``."""

    name = "document_number"

    def __init__(self, options: DocumentNumberOptions) -> None:
        self._min = _DEFAULT_MIN if options.min is None else options.min
        self._max = _LONGEST if options.max is None else options.max
        if not 1 <= self._min <= _LONGEST:
            raise FormatOptionError("min", f"min of document_number is from 1 to {_LONGEST}")
        if not self._min <= self._max <= _LONGEST:
            raise FormatOptionError("max", f"max of document_number is from min to {_LONGEST}")

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        """A number of digits alone has the fewest tokens."""
        return int(10**self._min)

    def parse(self, text: str) -> Parsed:
        parsed = _read(text)
        if len(parsed.core) < self._min:
            raise too_short(f"the number has fewer than {self._min} letters and digits")
        if len(parsed.core) > self._max:
            raise too_long(f"the number has more than {self._max} letters and digits")
        return parsed

    def parse_token(self, text: str) -> Parsed:
        return _read(text)

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        return same_classes_plan(core)


def _read(text: str) -> Parsed:
    if len(text) > 2 * _LONGEST:
        raise too_long(f"the number is longer than {2 * _LONGEST} characters")
    letters, gaps = split_separators(text, _GAP)
    if not letters:
        raise too_short("the number has no letter or digit")
    core, capitals = fold_case(letters)
    if not (letters.isascii() and _CORE.fullmatch(core)):
        raise not_in_format(
            "the number has only letters A-Z, digits, spaces, hyphens and , . / * < ( ) +"
        )
    return Parsed(core, Layout(len(core), gaps, capitals))
