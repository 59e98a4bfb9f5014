"""US social security numbers: nine digits, written plain or 3-2-4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vault.crypto.alphabet import NAMED_ALPHABETS
from vault.formats.base.check_digits import TOKEN_CHECKS, TokenCheck
from vault.formats.base.contract import (
    Parsed,
    Plan,
    RandomPlan,
    check_random_storage,
    not_in_format,
)
from vault.formats.base.layout import Layout, apply_layout
from vault.formats.base.nine_digits import ITIN_GROUPS, LENGTH, read_nine_digits
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_integer,
    read_one_of,
)
from vault.formats.base.random_choice import count_choices, random_characters_plan
from vault.model import Generator, Storage

__all__ = ["UsSsn", "UsSsnOptions"]

_MAX_KEPT_LAST = 4
_GROUP_END = 5
_WHAT = "an SSN"
_DIGITS = NAMED_ALPHABETS["digits"]
_ATIN_GROUP = "93"
# The Social Security Administration never issues these first five digits, whatever follows,
# and the IRS issues no number of its own with them.
_NEVER_ISSUED = tuple(
    [f"{area}{group:02d}" for area in ("000", "666") for group in range(100)]
    + [
        f"{area}{group:02d}"
        for area in range(900, 1000)
        for group in range(100)
        if f"{group:02d}" not in ITIN_GROUPS | {_ATIN_GROUP}
    ]
)
_NEVER_ISSUED_SET = frozenset(_NEVER_ISSUED)


@dataclass(frozen=True, slots=True)
class UsSsnOptions(FormatOptions):
    """What a policy may say about ``us_ssn``.

    Attributes:
        keep_last: trailing digits that the token keeps.
        token_check: ``invalid`` for tokens that were never issued.
    """

    keep_last: int = option(read_integer(0), 0)
    token_check: TokenCheck | None = option(read_one_of(*TOKEN_CHECKS))


class UsSsn:
    """The format ``us_ssn``: any nine digits, as what was never issued may be in the data."""

    name = "us_ssn"
    generators = frozenset(Generator)
    storages = frozenset(Storage)

    def __init__(self, options: UsSsnOptions) -> None:
        if not 0 <= options.keep_last <= _MAX_KEPT_LAST:
            raise FormatOptionError("keep_last", f"us_ssn keeps its last 0 to {_MAX_KEPT_LAST}")
        check = options.token_check or "any"
        if check not in {"any", "invalid"}:
            raise FormatOptionError("token_check", "token_check of us_ssn is any or invalid")
        self._enciphered = LENGTH - options.keep_last
        self._never_issued = check == "invalid"

    def token_spec(self) -> Mapping[str, str | int | bool]:
        spec: dict[str, str | int | bool] = {
            "rules": 1,
            "keep_last": LENGTH - self._enciphered,
        }
        if self._never_issued:
            spec["never_issued"] = True
        return spec

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        if self._never_issued:
            return len(_NEVER_ISSUED) * count_choices(self._serial())
        return int(_DIGITS.radix**self._enciphered)

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        if self._never_issued and generator is not Generator.RANDOM:
            return (
                "token_check invalid needs generator random with storage vaulted: SSNs are more "
                "than the numbers that are none"
            )
        return check_random_storage(generator, storage)

    def parse(self, text: str) -> Parsed:
        return read_nine_digits(text, _WHAT)

    def parse_token(self, text: str) -> Parsed:
        parsed = read_nine_digits(text, _WHAT)
        if self._never_issued and parsed.core[:_GROUP_END] not in _NEVER_ISSUED_SET:
            raise not_in_format("no token of this field has these digits")
        return parsed

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def token_plan(self, core: str, storage: Storage) -> Plan:
        return self.value_plan(core)

    def value_plan(self, token_core: str) -> Plan:
        tail = token_core[self._enciphered :]
        return Plan(_DIGITS, token_core[: self._enciphered], tail, lambda made: made + tail)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        tail = core[self._enciphered :]
        if self._never_issued:
            choices = [_NEVER_ISSUED, *self._serial()]
            return random_characters_plan(choices, lambda made: made + tail)
        return RandomPlan(_DIGITS, self._enciphered, lambda made: made + tail)

    def space(self) -> tuple[int, RandomPlan]:
        """Where last digits are kept, counts all endings together."""
        heads = [_NEVER_ISSUED] if self._never_issued else [_DIGITS.characters] * _GROUP_END
        choices = [*heads, *[_DIGITS.characters] * (LENGTH - _GROUP_END)]
        return count_choices(choices), random_characters_plan(choices, str)

    def _serial(self) -> list[str]:
        return [_DIGITS.characters] * (self._enciphered - _GROUP_END)
