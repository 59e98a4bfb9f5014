"""UUIDs (RFC 9562): 32 hexadecimal digits, plain, hyphenated, in braces or as a URN.

One UUID is one value in either case. Its token shows the case it is to be restored in, so a
vaulted token always has a letter; a vaultless field must be of one case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
from vault.formats.base.layout import Layout, apply_layout
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_one_of,
)
from vault.model import Generator, Storage

__all__ = ["Uuid", "UuidOptions"]

LetterCase = Literal["lower", "upper"]
_CASES: tuple[LetterCase, ...] = ("lower", "upper")

_LENGTH = 32
_URN = "urn:uuid:"
_CAPITAL_URN = _URN.upper()
_LONGEST_TEXT = len(_URN) + 36
_VERSION, _VARIANT = 12, 16
# Variant "10xx" of RFC 9562: a, b, 8 or 9. The letter is what shows a vaulted token's case.
_LETTER_VARIANT = "a"
_ENCIPHERED = _LENGTH - 2
_HEX = NAMED_ALPHABETS["hex_lower"]
_TEXT = re.compile(
    rf"({_URN}|{_CAPITAL_URN}|\{{)?([0-9A-Fa-f]{{8}})(-?)([0-9A-Fa-f]{{4}})\3([0-9A-Fa-f]{{4}})\3"
    r"([0-9A-Fa-f]{4})\3([0-9A-Fa-f]{12})(\}?)"
)
_ALLOWED = re.compile(rf"(?:{_URN}|{_CAPITAL_URN})?[0-9A-Fa-f{{}}-]*")
_HYPHENS = (8, 12, 16, 20)
_CLOSING = {"": "", "{": "}", _URN: "", _CAPITAL_URN: ""}


def _layout(opening: str, hyphen: str, *, capitals: bool) -> Layout:
    gaps = [(0, opening), *[(at, hyphen) for at in _HYPHENS], (_LENGTH, _CLOSING[opening])]
    every = tuple(range(_LENGTH)) if capitals else ()
    return Layout(_LENGTH, tuple((at, gap) for at, gap in gaps if gap), every)


_LAYOUTS = {
    (opening, hyphen, capitals): _layout(opening, hyphen, capitals=capitals)
    for opening in _CLOSING
    for hyphen in ("", "-")
    for capitals in (False, True)
}


@dataclass(frozen=True, slots=True)
class UuidOptions(FormatOptions):
    """What a policy may say about ``uuid``.

    Attributes:
        case: the one case that letters are written in.
    """

    case: LetterCase | None = option(read_one_of(*_CASES))


class Uuid:
    """The format ``uuid``."""

    name = "uuid"
    generators = frozenset(Generator)
    storages = frozenset(Storage)

    def __init__(self, options: UuidOptions) -> None:
        if options.case is not None and options.case not in _CASES:
            raise FormatOptionError("case", "case is lower or upper")
        self._case = options.case

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1, "case": self._case or "any"}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(_HEX.radix**_ENCIPHERED)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        if storage is Storage.VAULTLESS and self._case is None:
            return "a vaultless UUID is of one case: set case to lower or upper"
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        match = _TEXT.fullmatch(text)
        if match is None:
            raise _fault(text)
        opening, one, hyphen, two, three, four, five, closing = match.groups("")
        if closing != _CLOSING[opening]:
            raise _fault(text)
        digits = one + two + three + four + five
        core = digits.lower()
        capitals = core != digits
        if capitals and digits != digits.upper():
            raise not_in_format("write the UUID's letters in one case")
        if self._case == "upper":
            capitals = capitals or core == core.upper()
        if self._case is not None and capitals != (self._case == "upper"):
            raise not_in_format(f"the field has UUIDs in {self._case} case")
        return Parsed(core, _LAYOUTS[opening, hyphen, capitals])

    def parse_token(self, text: str) -> Parsed:
        return self.parse(text)

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def token_plan(self, core: str, storage: Storage) -> Plan:
        variant = core[_VARIANT] if storage is Storage.VAULTLESS else _LETTER_VARIANT
        return _plan(core, variant)

    def value_plan(self, token_core: str) -> Plan:
        return _plan(token_core, token_core[_VARIANT])

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        return RandomPlan(_HEX, _ENCIPHERED, _plan(core, _LETTER_VARIANT).build)


def _plan(core: str, variant: str) -> Plan:
    version = core[_VERSION]
    text = core[:_VERSION] + core[_VERSION + 1 : _VARIANT] + core[_VARIANT + 1 :]
    return Plan(
        _HEX,
        text,
        version + core[_VARIANT],
        lambda made: made[:12] + version + made[12:15] + variant + made[15:],
    )


def _fault(text: str) -> FormatError:
    if len(text) > _LONGEST_TEXT:
        return too_long("a UUID has 32 hexadecimal digits")
    if _ALLOWED.fullmatch(text):
        digits = len(
            text.removeprefix(_URN)
            .removeprefix(_CAPITAL_URN)
            .translate({ord(character): None for character in "{}-"})
        )
        if digits != _LENGTH:
            return (too_short if digits < _LENGTH else too_long)("a UUID has 32 hexadecimal digits")
    return not_in_format(
        "write the UUID as 8-4-4-4-12 hexadecimal digits or as 32 of them, alone, in braces or "
        "after urn:uuid:"
    )
