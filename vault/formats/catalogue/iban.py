"""International bank account numbers (ISO 13616): country kept, check digits recomputed.

In the account, FPE enciphers the digits and keeps the letters, which in most countries name
the bank; random tokens have letters of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from stdnum import numdb

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.formats.base.check_digits import TOKEN_CHECKS, TokenCheck, iban_check, read_token_check
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
    fold_case,
    split_separators,
)
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_one_of,
    read_texts,
)
from vault.formats.base.random_choice import character_classes, random_characters_plan
from vault.model import Generator, Storage

__all__ = ["Iban", "IbanOptions"]

_SHORTEST, _LONGEST = 8, 34
_LONGEST_TEXT = 2 * _LONGEST
# The registry has no account of fewer digits, but for such as are letters nearly throughout.
_MIN_DIGITS = 10
_GAP = re.compile(f"[.{SPACES}{HYPHENS}]+")
_CORE = re.compile(r"[a-z]{2}[0-9]{2}[0-9a-z]*")
_PIECE = re.compile(r"([0-9]+)!([nac])")
_CLASSES = {"n": "[0-9]", "a": "[a-z]", "c": "[0-9a-z]"}
_ZEROS = str.maketrans("123456789", "0" * 9)
_NOT_DIGITS = re.compile("[a-z]")
_DIGITS = NAMED_ALPHABETS["digits"]
_COUNTRY, _CHECK = slice(0, 2), slice(2, 4)


@lru_cache(maxsize=512)
def _account(country: str) -> tuple[re.Pattern[str], int] | None:
    """Returns how a country's accounts look, and the fewest digits in one; None if unknown."""
    properties = numdb.get("iban").info(country.upper())[0][1]
    pieces = _PIECE.findall(properties.get("bban", ""))
    if not pieces:
        return None
    pattern = "".join([f"{_CLASSES[kind]}{{{length}}}" for length, kind in pieces])
    digits = sum([int(length) for length, kind in pieces if kind == "n"])
    return re.compile(pattern), max(digits, _MIN_DIGITS)


@dataclass(frozen=True, slots=True)
class IbanOptions(FormatOptions):
    """What a policy may say about ``iban``.

    Attributes:
        countries: ISO 3166-1 alpha-2 codes that values are limited to.
        token_check: whether the token passes the check of its digits.
    """

    countries: tuple[str, ...] = option(read_texts, ())
    token_check: TokenCheck | None = option(read_one_of(*TOKEN_CHECKS))


class Iban:
    """The format ``iban``."""

    name = "iban"
    generators = frozenset(Generator)
    storages = frozenset(Storage)
    parts = ("country",)

    def __init__(self, options: IbanOptions) -> None:
        check = read_token_check(options.token_check, "invalid")
        if check == "any":
            raise FormatOptionError("token_check", "token_check of iban is valid or invalid")
        self._wrong = check == "invalid"
        self._countries = frozenset(country.lower() for country in options.countries)
        fewest = [_fewest_digits(country) for country in sorted(self._countries)]
        self._fewest = min(fewest, default=_MIN_DIGITS)

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1, "token_check": "invalid" if self._wrong else "valid"}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(_DIGITS.radix**self._fewest)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        parsed = _read(text)
        core = parsed.core
        country, account = core[_COUNTRY], core[4:]
        known = _account(country)
        if known is None:
            raise not_in_format("the first two letters are of no country with IBANs")
        if self._countries and country not in self._countries:
            raise not_in_format("the field does not take IBANs of this country")
        if not known[0].fullmatch(account):
            raise not_in_format("the IBAN has not the length or the letters of its country's")
        if len(_NOT_DIGITS.sub("", account)) < self._fewest:
            raise too_short(f"the account has fewer than {self._fewest} digits")
        if iban_check(country, account) != core[_CHECK]:
            raise not_in_format("the IBAN fails its check digits")
        return parsed

    def parse_token(self, text: str) -> Parsed:
        parsed = _read(text)
        core = parsed.core
        if iban_check(core[_COUNTRY], core[4:], wrong=self._wrong) != core[_CHECK]:
            raise not_in_format("no IBAN token has these check digits")
        return parsed

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        return {"country": (_COUNTRY.start, _COUNTRY.stop)}

    def token_plan(self, core: str, storage: Storage) -> Plan:
        return self._plan(core, wrong=self._wrong)

    def value_plan(self, token_core: str) -> Plan:
        plan = self._plan(token_core, wrong=False)
        known = _account(token_core[_COUNTRY])
        if (
            known is None
            or not known[0].fullmatch(token_core[4:])
            or len(plan.text) < self._fewest
            or (self._countries and token_core[_COUNTRY] not in self._countries)
        ):
            raise not_in_format("no IBAN token looks like this")
        return plan

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        country = core[_COUNTRY]
        return random_characters_plan(
            character_classes(core[4:]), lambda made: _with_check(country, made, wrong=self._wrong)
        )

    def _plan(self, core: str, *, wrong: bool) -> Plan:
        country, account = core[_COUNTRY], core[4:]
        text = _NOT_DIGITS.sub("", account)
        if len(text) == len(account):
            return Plan(
                _DIGITS, text, country, lambda made: _with_check(country, made, wrong=wrong)
            )
        letters = account.translate(_ZEROS)

        def build(made: str) -> str:
            digits = iter(made)
            characters = [next(digits) if each == "0" else each for each in letters]
            return _with_check(country, "".join(characters), wrong=wrong)

        return Plan(_DIGITS, text, country + letters, build)


def _with_check(country: str, account: str, *, wrong: bool) -> str:
    return country + iban_check(country, account, wrong=wrong) + account


def _fewest_digits(country: str) -> int:
    account = _account(country) if re.fullmatch("[a-z]{2}", country) else None
    if account is None:
        raise FormatOptionError(
            "countries", "countries are two-letter codes of countries with IBANs, as in DE"
        )
    return account[1]


def _read(text: str) -> Parsed:
    if len(text) > _LONGEST_TEXT:
        raise too_long(f"an IBAN has at most {_LONGEST} letters and digits")
    letters, gaps = split_separators(text, _GAP)
    if not letters.isascii():
        raise not_in_format("an IBAN has only the letters A-Z, digits, spaces, hyphens and dots")
    if len(letters) < _SHORTEST:
        raise too_short("the IBAN is too short")
    if len(letters) > _LONGEST:
        raise too_long(f"an IBAN has at most {_LONGEST} letters and digits")
    core, capitals = fold_case(letters)
    if not _CORE.fullmatch(core):
        raise not_in_format(
            "an IBAN has two letters, two check digits, then letters and digits; write it without "
            "the word IBAN, slashes, brackets or quotes"
        )
    return Parsed(core, Layout(len(core), gaps, capitals))
