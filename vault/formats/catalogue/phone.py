"""Telephone numbers as people dial them: international, or national to one region.

The core is the digits, with a leading ``+`` where there is one; the punctuation is layout.
A token keeps its value's country code and begins as its value does.

A batch may be of another region than the field: its numbers are then validated by that region's
numbering plan, and taken apart as the field's. What a token keeps is therefore the same for
every reader, and depends on no region.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.errors import FormatError
from vault.formats.base.contract import (
    Format,
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
    read_integer,
    read_one_of,
    read_text,
)
from vault.formats.catalogue.dialling import (
    REGIONS,
    country_length,
    has_possible_length,
    international_prefix,
    is_valid_number,
    kept_length,
    to_e164,
)
from vault.model import Generator, Storage

__all__ = ["Phone", "PhoneOptions"]

InvalidNumbers = Literal["refuse", "random"]
_INVALID_NUMBERS: tuple[InvalidNumbers, ...] = ("refuse", "random")

# 15 digits of E.164, an international prefix and a trunk digit.
_LONGEST = 20
_LONGEST_TEXT = 2 * _LONGEST
_DEFAULT_MIN = 6
_GAP = re.compile(f"[()./{SPACES}{HYPHENS}]+")
_NUMBER = re.compile(r"\+?[0-9]+")
_DIGITS = NAMED_ALPHABETS["digits"]
_TAKES_ALL = "a field of generator random takes it too, with invalid: random in the policy"


@dataclass(frozen=True, slots=True)
class PhoneOptions(FormatOptions):
    """What a policy may say about ``phone``.

    Attributes:
        min: fewest digits that the token does not keep.
        region: ISO 3166-1 alpha-2 code of the country that national numbers are of.
        invalid: what becomes of a number that no operator can have issued.
    """

    min: int | None = option(read_integer(1))
    region: str | None = option(read_text)
    invalid: InvalidNumbers | None = option(read_one_of(*_INVALID_NUMBERS))


class Phone:
    """The format ``phone``."""

    name = "phone"
    generators = frozenset(Generator)
    storages = frozenset(Storage)
    parts = ("country",)

    def __init__(self, options: PhoneOptions, prefix: str | None = None) -> None:
        """Takes the options and, for a batch of another region, the field's own prefix."""
        self._options = options
        self._region = options.region
        self._invalid: InvalidNumbers = options.invalid or "refuse"
        self._min = _DEFAULT_MIN if options.min is None else options.min
        if self._region is not None:
            _check_region(self._region)
        if self._invalid not in _INVALID_NUMBERS:
            raise FormatOptionError("invalid", "invalid is refuse or random")
        if not 1 <= self._min <= _LONGEST:
            raise FormatOptionError("min", f"min of a phone number is from 1 to {_LONGEST}")
        own = international_prefix(self._region) if self._region else ""
        self._prefix = own if prefix is None else prefix

    def for_region(self, region: str) -> Format:
        """The field's own international prefix still applies."""
        return Phone(replace(self._options, region=region), self._prefix)

    def token_spec(self) -> Mapping[str, str | int | bool]:
        """The region counts by its international prefix alone."""
        # With 00, a number's leading zeros alone show that it is a national one.
        rules = 1 if self._prefix in {"", "00"} else 2
        return {"rules": rules, "international_prefix": self._prefix}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(_DIGITS.radix**self._min)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        if self._invalid == "random" and generator is not Generator.RANDOM:
            return "invalid: random needs generator random with storage vaulted"
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        parsed = _read(text)
        self._check_reading(parsed.core)
        if len(parsed.core) - kept_length(parsed.core, self._prefix) < self._min:
            raise too_short(
                f"the phone number has fewer than {self._min} digits after its country code, "
                "or after its first digit where it has none: write it with + and the country "
                "code, or lower the field's min"
            )
        if self._invalid == "refuse" and not is_valid_number(parsed.core, self._region):
            raise self._fault(parsed.core)
        return parsed

    def _check_reading(self, core: str) -> None:
        """Refuses a batch's national number that the field would take for an international one.

        What a token keeps, and what its country is, depends on the field's prefix alone.
        """
        own = international_prefix(self._region) if self._region else ""
        if core.startswith("+") or own == self._prefix or (own and core.startswith(own)):
            return
        if country_length(core, self._prefix):
            raise not_in_format(
                f"the phone number begins like an international one of the field's own region "
                f"({self._prefix}): write it with + and the country code, or have the batch "
                "in a field without a region"
            )

    def _fault(self, core: str) -> FormatError:
        if core.startswith("+"):
            return not_in_format(
                f"there is no such phone number in the country of its code; {_TAKES_ALL}"
            )
        if self._region is None:
            return not_in_format(
                "write the phone number with + and the country code, or set the region of the "
                "field or the batch"
            )
        return not_in_format(
            f"there is no such phone number in {self._region}; write a foreign one with + and "
            f"its country code; {_TAKES_ALL}"
        )

    def parse_token(self, text: str) -> Parsed:
        return _read(text)

    def recognise(self, text: str) -> Parsed:
        """A token has as many digits as its value had, in its country."""
        parsed = _read(text)
        if not has_possible_length(parsed.core, self._region):
            raise not_in_format("no phone token has so many digits in its country")
        return parsed

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        """Empty in a national number."""
        return {"country": (0, country_length(core, self._prefix))}

    def spelling_key(self, core: str) -> str:
        """A national number is taken for one of the field's region."""
        return to_e164(core, self._region) or core

    def token_plan(self, core: str, storage: Storage) -> Plan:
        return self._plan(core)

    def value_plan(self, token_core: str) -> Plan:
        plan = self._plan(token_core)
        if len(plan.text) < self._min:
            raise not_in_format("no phone token has so few digits")
        return plan

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        plan = self._plan(core)
        return RandomPlan(_DIGITS, len(plan.text), plan.build)

    def _plan(self, core: str) -> Plan:
        at = kept_length(core, self._prefix)
        head = core[:at]
        return Plan(_DIGITS, core[at:], head, lambda made: head + made)


def _check_region(region: str) -> None:
    if region not in REGIONS:
        raise FormatOptionError(
            "region", "region is a two-letter country code in capitals, as in US or GB"
        )


def _read(text: str) -> Parsed:
    if len(text) > _LONGEST_TEXT:
        raise too_long(f"the phone number is longer than {_LONGEST_TEXT} characters")
    core, gaps = split_separators(text, _GAP)
    if not core:
        raise too_short("the phone number has no digit")
    if not _NUMBER.fullmatch(core):
        raise not_in_format(
            "a phone number has only the digits 0-9, a leading +, spaces, hyphens, dots, "
            "slashes and parentheses; extensions and letters go into a field of their own"
        )
    if len(core) > _LONGEST + 1:
        raise too_long(f"the phone number has more than {_LONGEST} digits")
    return Parsed(core, Layout(len(core), gaps) if gaps else bare_layout(len(core)))
