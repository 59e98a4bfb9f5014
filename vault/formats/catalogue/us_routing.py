"""US bank routing numbers (ABA): nine digits, the last of them a check digit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.formats.base.check_digits import TOKEN_CHECKS, TokenCheck, aba_check, read_token_check
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
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_one_of,
)
from vault.model import Generator, Storage

__all__ = ["UsRouting", "UsRoutingOptions"]

_LENGTH = 9
_FREE = _LENGTH - 1
_LONGEST_TEXT = 2 * _LENGTH
_GAP = re.compile(f"[.{SPACES}{HYPHENS}]+")
_DIGITS = NAMED_ALPHABETS["digits"]


@dataclass(frozen=True, slots=True)
class UsRoutingOptions(FormatOptions):
    """What a policy may say about ``us_routing``.

    Attributes:
        token_check: whether the token passes the check of its last digit.
    """

    token_check: TokenCheck | None = option(read_one_of(*TOKEN_CHECKS))


class UsRouting:
    """The format ``us_routing``."""

    name = "us_routing"
    generators = frozenset(Generator)
    storages = frozenset(Storage)

    def __init__(self, options: UsRoutingOptions) -> None:
        check = read_token_check(options.token_check, "invalid")
        if check == "any":
            raise FormatOptionError("token_check", "token_check of us_routing is valid or invalid")
        self._wrong = check == "invalid"

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1, "token_check": "invalid" if self._wrong else "valid"}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(_DIGITS.radix**_FREE)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        parsed = _read(text)
        if aba_check(parsed.core[:_FREE]) != parsed.core[_FREE]:
            raise not_in_format("the routing number fails its check digit")
        return parsed

    def parse_token(self, text: str) -> Parsed:
        parsed = _read(text)
        if aba_check(parsed.core[:_FREE], wrong=self._wrong) != parsed.core[_FREE]:
            raise not_in_format("no routing number token has this check digit")
        return parsed

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def token_plan(self, core: str, storage: Storage) -> Plan:
        return Plan(_DIGITS, core[:_FREE], "", self._token)

    def value_plan(self, token_core: str) -> Plan:
        return Plan(_DIGITS, token_core[:_FREE], "", lambda made: made + aba_check(made))

    def space(self) -> tuple[int, RandomPlan]:
        return int(_DIGITS.radix**_FREE), self.random_plan("", 0)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        return RandomPlan(_DIGITS, _FREE, self._token)

    def _token(self, made: str) -> str:
        return made + aba_check(made, wrong=self._wrong)


def _read(text: str) -> Parsed:
    if len(text) == _LENGTH and text.isdigit() and text.isascii():
        return Parsed(text, bare_layout(_LENGTH))
    if len(text) > _LONGEST_TEXT:
        raise too_long("the routing number has more than nine digits, or too many separators")
    core, gaps = split_separators(text, _GAP)
    if core and not (core.isdigit() and core.isascii()):
        raise not_in_format("a routing number has only the digits 0-9, spaces, hyphens and dots")
    if len(core) != _LENGTH:
        fault = too_short if len(core) < _LENGTH else too_long
        raise fault("a routing number has nine digits")
    return Parsed(core, Layout(_LENGTH, gaps))
