"""Vehicle identification numbers (ISO 3779): 17 capitals and digits without I, O and Q.

Only some countries have the check digit in the ninth place, so it is checked only if the policy
asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vault.crypto.alphabet import Alphabet
from vault.formats.base.check_digits import TOKEN_CHECKS, TokenCheck, read_token_check, vin_check
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
    FormatOptions,
    option,
    read_one_of,
)
from vault.model import Generator, Storage

__all__ = ["Vin", "VinOptions"]

_LENGTH = 17
_LONGEST_TEXT = 2 * _LENGTH
_CHECK = 8
_GAP = re.compile(f"[.{SPACES}{HYPHENS}]+")
_CHARACTERS = Alphabet("0123456789ABCDEFGHJKLMNPRSTUVWXYZ")
_CORE = re.compile(f"[{_CHARACTERS.characters}]*")


@dataclass(frozen=True, slots=True)
class VinOptions(FormatOptions):
    """What a policy may say about ``vin``.

    Attributes:
        token_check: whether values and tokens have a check digit, and the token a right one.
    """

    token_check: TokenCheck | None = option(read_one_of(*TOKEN_CHECKS))


class Vin:
    """The format ``vin``."""

    name = "vin"
    generators = frozenset(Generator)
    storages = frozenset(Storage)
    parts = ("maker",)

    def __init__(self, options: VinOptions) -> None:
        self._check = read_token_check(options.token_check, "any")
        self._enciphered = _LENGTH if self._check == "any" else _LENGTH - 1

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1, "token_check": self._check}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(_CHARACTERS.radix**self._enciphered)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        parsed = _read(text)
        if self._check != "any" and vin_check(parsed.core) != parsed.core[_CHECK]:
            raise not_in_format("the vehicle identification number fails its check digit")
        return parsed

    def parse_token(self, text: str) -> Parsed:
        parsed = _read(text)
        if self._check != "any" and self._check_of(parsed.core) != parsed.core[_CHECK]:
            raise not_in_format("no token of this field has this check digit")
        return parsed

    def _check_of(self, token_core: str) -> str:
        return vin_check(token_core, wrong=self._check == "invalid")

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        """The maker is the first three characters."""
        return {"maker": (0, 3)}

    def token_plan(self, core: str, storage: Storage) -> Plan:
        return Plan(_CHARACTERS, self._free(core), "", self._token)

    def value_plan(self, token_core: str) -> Plan:
        if self._check == "any":
            return Plan(_CHARACTERS, token_core, "", str)
        return Plan(_CHARACTERS, self._free(token_core), "", _value)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        return RandomPlan(_CHARACTERS, self._enciphered, self._token)

    def _free(self, core: str) -> str:
        return core if self._check == "any" else core[:_CHECK] + core[_CHECK + 1 :]

    def _token(self, made: str) -> str:
        if self._check == "any":
            return made
        whole = _open(made)
        return whole[:_CHECK] + self._check_of(whole) + whole[_CHECK + 1 :]


def _open(made: str) -> str:
    """Makes room for the check digit."""
    return f"{made[:_CHECK]}0{made[_CHECK:]}"


def _value(made: str) -> str:
    whole = _open(made)
    return whole[:_CHECK] + vin_check(whole) + whole[_CHECK + 1 :]


def _read(text: str) -> Parsed:
    if len(text) > _LONGEST_TEXT:
        raise too_long("a vehicle identification number has 17 characters")
    core, gaps = split_separators(text, _GAP)
    if not _CORE.fullmatch(core):
        raise not_in_format(
            "a vehicle identification number has digits and letters A-Z without I, O and Q; "
            "write the letters as capitals"
        )
    if len(core) != _LENGTH:
        fault = too_short if len(core) < _LENGTH else too_long
        raise fault("a vehicle identification number has 17 characters")
    return Parsed(core, Layout(_LENGTH, gaps) if gaps else bare_layout(_LENGTH))
