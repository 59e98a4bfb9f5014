"""IPv4 addresses in dotted decimal: 32 bits, enciphered as hexadecimal digits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.formats.base.contract import (
    Parsed,
    Plan,
    RandomPlan,
    check_random_storage,
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
)
from vault.model import Generator, Storage

__all__ = ["Ipv4", "Ipv4Options"]

_OCTETS = 4
_LONGEST = 15
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_TEXT = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_HEX = NAMED_ALPHABETS["hex_lower"]
_DIGITS_PER_OCTET = 2


@dataclass(frozen=True, slots=True)
class Ipv4Options(FormatOptions):
    """What a policy may say about ``ipv4``.

    Attributes:
        keep_first: leading octets that the token keeps.
    """

    keep_first: int = option(read_integer(0), 0)


class Ipv4:
    """The format ``ipv4``; ``keep_first`` counts octets."""

    name = "ipv4"
    generators = frozenset(Generator)
    storages = frozenset(Storage)
    parts = ("network",)

    def __init__(self, options: Ipv4Options) -> None:
        if not 0 <= options.keep_first < _OCTETS:
            raise FormatOptionError("keep_first", "ipv4 keeps its first 0 to 3 octets")
        self._kept = options.keep_first

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 1, "keep_first": self._kept}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        return int(256 ** (_OCTETS - self._kept))

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        if not text:
            raise too_short("the IPv4 address is empty")
        if len(text) > _LONGEST:
            raise too_long("an IPv4 address has four numbers from 0 to 255")
        if not _TEXT.fullmatch(text):
            raise not_in_format(
                "write the IPv4 address as four numbers from 0 to 255 without leading zeros, "
                "joined by dots"
            )
        return Parsed(text, bare_layout(len(text)))

    def parse_token(self, text: str) -> Parsed:
        return self.parse(text)

    def render(self, core: str, layout: Layout) -> str:
        return core

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        """The network is the first two octets."""
        return {"network": (0, core.index(".", core.index(".") + 1) + 1)}

    def token_plan(self, core: str, storage: Storage) -> Plan:
        return self.value_plan(core)

    def value_plan(self, token_core: str) -> Plan:
        octets = token_core.split(".")
        kept = octets[: self._kept]
        text = "".join([f"{int(octet):02x}" for octet in octets[self._kept :]])
        return Plan(_HEX, text, ".".join(kept), lambda made: ".".join([*kept, *_octets(made)]))

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        plan = self.value_plan(core)
        return RandomPlan(_HEX, len(plan.text), plan.build)


def _octets(digits: str) -> list[str]:
    pairs = range(0, len(digits), _DIGITS_PER_OCTET)
    return [str(int(digits[at : at + _DIGITS_PER_OCTET], 16)) for at in pairs]
