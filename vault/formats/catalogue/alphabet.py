"""Values over one alphabet, with separators: account numbers, national ids, codes.

The core is verbatim, case included, so that a value comes back as it was whatever its token
looks like. Case is kept where it carries information: a vaulted token of a
value in capitals has no small letters, and the other way round.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vault.crypto.alphabet import Alphabet
from vault.crypto.fpe.domain import ff3_1_max_length
from vault.crypto.fpe.limbs import Digits
from vault.formats.base.alphabet_option import read_alphabet
from vault.formats.base.contract import (
    Parsed,
    Plan,
    RandomPlan,
    check_random_storage,
    not_in_format,
    too_long,
    too_short,
)
from vault.formats.base.layout import Layout, apply_layout, bare_layout, split_separators
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_integer,
    read_text,
)
from vault.formats.columnar.rows import ColumnarFormat, Mask, Segments, TokenAlphabet
from vault.model import Generator, Storage

__all__ = ["MAX_LENGTH", "AlphabetOptions", "PlainAlphabet"]

MAX_LENGTH = 512
"""Most characters that a policy may allow, separators not counted."""

_DEFAULT_MAX = 256
_DEFAULT_SEPARATORS = " -."
_MIN_IN_CASE = 2  # an alphabet of one character enciphers nothing


@dataclass(frozen=True, slots=True)
class _CaseRule:
    """The part of an alphabet that tokens of values in one case consist of."""

    label: str
    alphabet: Alphabet
    matches: re.Pattern[str]
    positions: Mask  # whether it has the character at each position of the whole alphabet


@dataclass(frozen=True, slots=True)
class AlphabetOptions(FormatOptions):
    """What a policy may say about ``alphabet``.

    Attributes:
        min: fewest characters of a value, separators not counted.
        max: most characters of a value, separators not counted.
        keep_first: leading characters that the token keeps.
        keep_last: trailing characters that the token keeps.
        alphabet: an alphabet's name, or the characters themselves.
        separators: characters that stay where they are.
    """

    min: int | None = option(read_integer(1))
    max: int | None = option(read_integer(1))
    keep_first: int = option(read_integer(0), 0)
    keep_last: int = option(read_integer(0), 0)
    alphabet: str | None = option(read_text)
    separators: str | None = option(read_text)


class PlainAlphabet(ColumnarFormat):
    """The format ``alphabet``."""

    name = "alphabet"
    generators = frozenset(Generator)
    storages = frozenset(Storage)

    def __init__(self, options: AlphabetOptions) -> None:
        self._alphabet = read_alphabet(options.alphabet, "alphabet")
        self._separators = _separators(options.separators, self._alphabet)
        self._min, self._max = _bounds(options)
        self._first, self._last = options.keep_first, options.keep_last
        self._cases = _case_rules(self._alphabet)
        members = _members(self._alphabet.characters)
        self._whole = re.compile(f"{members}{{{self._min},{self._max}}}")
        self._core = re.compile(f"{members}*")
        self._gap = re.compile(f"{_members(self._separators)}+") if self._separators else None

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {
            "rules": 1,
            "alphabet": self._alphabet.digest,
            "separators": self._separators,
            "keep_first": self._first,
            "keep_last": self._last,
        }

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        """Counted over the smallest part of the alphabet that a token may consist of."""
        radix = self._alphabet.radix
        if storage is Storage.VAULTED:
            radix = min([radix, *(rule.alphabet.radix for rule in self._cases)])
        return int(radix ** (self._min - self._first - self._last))

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        if generator is Generator.FF3_1:
            most = ff3_1_max_length(self._alphabet.radix)
            kept = self._first + self._last
            if self._max - kept > most:
                return (
                    f"ff3-1 enciphers at most {most} characters of this alphabet, and max allows "
                    f"{self._max - kept}; set max to {most + kept} or less, or use ff1"
                )
        return check_random_storage(generator, storage)

    @property
    def first_characters(self) -> str:
        return "" if self._first else self._alphabet.characters

    def parse(self, text: str) -> Parsed:
        if self._whole.fullmatch(text):
            return Parsed(text, bare_layout(len(text)))
        # No more separators than characters: bounds the work on hostile input.
        if len(text) > 2 * self._max:
            raise too_long(f"the value is longer than {self._max} characters with separators")
        parsed = self._read(text)
        if len(parsed.core) < self._min:
            raise too_short(f"the value has fewer than {self._min} characters")
        if len(parsed.core) > self._max:
            raise too_long(f"the value has more than {self._max} characters")
        return parsed

    def parse_token(self, text: str) -> Parsed:
        if len(text) > 2 * MAX_LENGTH:
            raise not_in_format("no token of this field is as long")
        parsed = self._read(text)
        if len(parsed.core) <= self._first + self._last:
            raise not_in_format("no token of this field is as short")
        return parsed

    def _read(self, text: str) -> Parsed:
        core, gaps = split_separators(text, self._gap) if self._gap else (text, ())
        if not self._core.fullmatch(core):
            raise not_in_format("a character is neither of the field's alphabet nor a separator")
        return Parsed(core, Layout(len(core), gaps) if gaps else bare_layout(len(core)))

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def token_plan(self, core: str, storage: Storage) -> Plan:
        head, middle, tail = self._split_core(core)
        alphabet, label = self._alphabet, ""
        if storage is Storage.VAULTED:
            alphabet, label = self._token_alphabet(middle)
        # The label keeps AB1 and ab1, equal numerals in their alphabets, from equal tokens.
        return Plan(alphabet, middle, label + head + tail, lambda made: head + made + tail)

    def value_plan(self, token_core: str) -> Plan:
        if not self._min <= len(token_core) <= self._max:
            raise not_in_format("no token of this field has this length")
        return self.token_plan(token_core, Storage.VAULTLESS)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        head, middle, tail = self._split_core(core)
        alphabet, _ = self._token_alphabet(middle)
        return RandomPlan(alphabet, len(middle), lambda made: head + made + tail)

    @property
    def row_alphabet(self) -> Alphabet:
        return self._alphabet

    @property
    def row_lengths(self) -> range:
        return range(self._min, self._max + 1)

    def segments(self, length: int) -> Segments:
        return Segments(self._first, length - self._last, length - self._last)

    def token_alphabets(self, rows: Digits) -> Sequence[TokenAlphabet]:
        """Goes by the case of what is not kept, as ``token_plan``."""
        first, free, _ = self.segments(rows.shape[1])
        left = np.ones(len(rows), np.bool_)
        found = []
        for rule in self._cases:
            own = left & rule.positions[rows[:, first:free]].all(axis=1)
            left &= ~own
            found.append(TokenAlphabet(rule.alphabet, rule.label, own))
        found.append(TokenAlphabet(self._alphabet, "", left))
        return [each for each in found if each.rows.any()]

    def value_mask(self, rows: Digits) -> Mask:
        """Accepts every row: the alphabet and the length are the whole rule."""
        return np.ones(len(rows), np.bool_)

    def token_mask(self, rows: Digits) -> Mask:
        """Accepts every row, as ``min`` is above what is kept."""
        return np.ones(len(rows), np.bool_)

    def set_token_check_digits(self, rows: Digits) -> None:
        """Nothing follows from the other columns."""

    def set_value_check_digits(self, rows: Digits) -> None:
        """Nothing follows from the other columns."""

    def _split_core(self, core: str) -> tuple[str, str, str]:
        end = len(core) - self._last
        return core[: self._first], core[self._first : end], core[end:]

    def _token_alphabet(self, middle: str) -> tuple[Alphabet, str]:
        for rule in self._cases:
            if rule.matches.fullmatch(middle):
                return rule.alphabet, rule.label
        return self._alphabet, ""


def _members(characters: str) -> str:
    return f"[{re.escape(characters)}]"


def _separators(option: str | None, alphabet: Alphabet) -> str:
    """Returns the separators, sorted, each once."""
    if option is None:
        return "".join(sorted(set(_DEFAULT_SEPARATORS) - set(alphabet.characters)))
    for character in option:
        if character in alphabet:
            raise FormatOptionError("separators", "a separator is in the alphabet too")
        # What is a separator stays in the token: letters and digits must not slip through.
        if unicodedata.category(character)[0] not in {"P", "S", "Z"}:
            raise FormatOptionError("separators", "separators are punctuation, symbols or spaces")
        if unicodedata.category(character) in {"Zl", "Zp"}:
            raise FormatOptionError("separators", "a line break cannot be a separator")
    return "".join(sorted(set(option)))


def _bounds(options: AlphabetOptions) -> tuple[int, int]:
    if options.min is None:
        raise FormatOptionError("min", "say min: the fewest characters that a value may have")
    low = options.min
    high = max(low, _DEFAULT_MAX) if options.max is None else options.max
    if not 1 <= low <= MAX_LENGTH:
        raise FormatOptionError("min", f"min is from 1 to {MAX_LENGTH}")
    if not low <= high <= MAX_LENGTH:
        raise FormatOptionError("max", f"max is from min to {MAX_LENGTH}")
    for name in ("keep_first", "keep_last"):
        if not 0 <= getattr(options, name) < low:
            raise FormatOptionError(name, f"{name} is from 0 to less than min")
    if options.keep_first + options.keep_last >= low:
        raise FormatOptionError("keep_last", "the shortest value would be kept as a whole")
    return low, high


def _case_rules(alphabet: Alphabet) -> tuple[_CaseRule, ...]:
    """Returns how capitals-only and small-only values are treated, in this order.

    Only where each letter is there in both cases: in base58 and its like a letter's case is
    not a way of writing it.
    """
    characters = alphabet.characters
    letters = [character for character in characters if character.lower() != character.upper()]
    if not letters or any(letter.swapcase() not in alphabet for letter in letters):
        return ()
    capitals = "".join([letter for letter in characters if letter == letter.upper()])
    small = "".join([letter for letter in characters if letter == letter.lower()])
    if min(len(capitals), len(small)) < _MIN_IN_CASE:
        return ()
    return tuple(
        _CaseRule(
            label,
            Alphabet(part),
            re.compile(f"{_members(part)}*"),
            np.array([character in part for character in characters]),
        )
        for label, part in (("capitals:", capitals), ("small:", small))
    )
