"""US social security numbers: nine digits, written plain or 3-2-4."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vault.crypto.alphabet import NAMED
from vault.errors import FormatError
from vault.formats.contract import (
    FormatOptionError,
    FormatOptions,
    Parsed,
    Plan,
    RandomPlan,
    not_in_format,
    random_misfit,
    refuse_unfit,
    too_long,
    too_short,
)
from vault.formats.layout import Layout, plain, weave
from vault.model import Generator, Storage

__all__ = ["UsSsn"]

_LENGTH = 9
_WRITTEN_LENGTH = 11
_MOST_KEPT_LAST = 4
_ALLOWED = re.compile(r"[0-9 -]*")
_LAYOUTS = {mark: Layout(_LENGTH, ((3, mark), (5, mark))) for mark in ("-", " ")}
_DIGITS = NAMED["digits"]


class UsSsn:
    """The format ``us_ssn``: any nine digits, as what was never issued may be in the data."""

    name = "us_ssn"
    generators = frozenset(Generator)
    storages = frozenset(Storage)

    def __init__(self, options: FormatOptions) -> None:
        refuse_unfit(self.name, options, frozenset({"keep_last"}))
        if not 0 <= options.keep_last <= _MOST_KEPT_LAST:
            raise FormatOptionError("keep_last", f"us_ssn keeps its last 0 to {_MOST_KEPT_LAST}")
        self._enciphered = _LENGTH - options.keep_last

    def shape(self) -> Mapping[str, str | int | bool]:
        """See ``Format``."""
        return {"rules": 1, "keep_last": _LENGTH - self._enciphered}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        """See ``Format``."""
        del generator, storage
        return int(_DIGITS.radix**self._enciphered)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        """See ``Format``."""
        return random_misfit(generator, storage)

    def parse(self, text: str) -> Parsed:
        """See ``Format``."""
        if len(text) == _LENGTH and text.isdigit() and text.isascii():
            return Parsed(text, plain(_LENGTH))
        if len(text) == _WRITTEN_LENGTH:
            layout = _LAYOUTS.get(text[3])
            core = text[:3] + text[4:6] + text[7:]
            if layout and text[6] == text[3] and core.isdigit() and core.isascii():
                return Parsed(core, layout)
        raise _fault(text)

    def parse_token(self, text: str) -> Parsed:
        """See ``Format``."""
        return self.parse(text)

    def render(self, core: str, layout: Layout) -> str:
        """See ``Format``."""
        return weave(core, layout)

    def token_plan(self, core: str, storage: Storage) -> Plan:
        """See ``Format``."""
        del storage
        return self.value_plan(core)

    def value_plan(self, token_core: str) -> Plan:
        """See ``Format``."""
        tail = token_core[self._enciphered :]
        return Plan(_DIGITS, token_core[: self._enciphered], tail, lambda made: made + tail)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        """See ``Format``."""
        del attempt
        tail = core[self._enciphered :]
        return RandomPlan(_DIGITS, self._enciphered, lambda made: made + tail)


def _fault(text: str) -> FormatError:
    if not _ALLOWED.fullmatch(text):
        return not_in_format("an SSN has only the digits 0-9, hyphens and spaces")
    digits = len(text) - text.count(" ") - text.count("-")
    if digits < _LENGTH:
        return too_short("the SSN has fewer than nine digits")
    if digits > _LENGTH:
        return too_long("the SSN has more than nine digits")
    return not_in_format("an SSN is written plain, or 3-2-4 with two hyphens or two spaces")
