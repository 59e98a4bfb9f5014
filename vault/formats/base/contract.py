"""The protocol of formats, and the value types that they return.

A value is a *core* (what is looked up, enciphered and stored) and a *layout* (where its
separators stand, and the case of its letters where the token carries it). The token is
rendered in the value's layout; a stored value core, rendered in the token's layout, is the
value again, code point for code point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol, cast, runtime_checkable

from vault.crypto.alphabet import Alphabet
from vault.errors import FormatError, Reason
from vault.formats.base.layout import Layout
from vault.model import Generator, Storage

__all__ = [
    "FiniteFormatSpace",
    "Format",
    "HasFirstCharacters",
    "HasParts",
    "HasRegions",
    "HasSpellings",
    "HasWords",
    "Parsed",
    "Plan",
    "RandomPlan",
    "RecognisesTokens",
    "UnboundedFormatSpace",
    "check_random_storage",
    "not_in_format",
    "token_recogniser",
    "too_long",
    "too_short",
]


@dataclass(frozen=True, slots=True, repr=False)
class Parsed:
    """A value or a token taken apart. Hidden from ``repr``."""

    core: str
    layout: Layout


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """How one core is enciphered or deciphered. Hidden from ``repr``.

    Attributes:
        alphabet: the alphabet of the characters, before and after.
        text: the characters that go into the cipher.
        kept: what stays and belongs into the tweak; equal for a value and its token.
        build: makes the whole core of the characters that came out.
    """

    alphabet: Alphabet
    text: str
    kept: str
    build: Callable[[str], str]


@dataclass(frozen=True, slots=True, repr=False)
class RandomPlan:
    """How a random token is made. Hidden from ``repr``.

    Attributes:
        alphabet: the characters to choose from.
        length: how many characters to choose.
        build: makes the token's core of the chosen characters.
    """

    alphabet: Alphabet
    length: int
    build: Callable[[str], str]


class Format(Protocol):
    """What one kind of value looks like. Stateless, pure, safe for threads.

    Messages of a ``FormatError`` never quote the value or a character of it.
    """

    @property
    def name(self) -> str: ...
    @property
    def generators(self) -> frozenset[Generator]: ...
    @property
    def storages(self) -> frozenset[Storage]: ...

    def token_spec(self) -> Mapping[str, str | int | bool]:
        """Returns all that decides a value's core and its token.

        ``min`` and ``max`` are not in it: they decide which values are accepted, and may
        change while tokens live.
        """

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        """Returns how many values a token may stand for, all else known: exact, the least.

        Counted at the shortest value accepted, on the characters enciphered or chosen at random.
        """

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        """Returns why the format cannot go with a generator and a storage, or None.

        None together with an effective domain of at least 1,000,000 means that no accepted
        value can fail in the cipher.
        """

    def parse(self, text: str) -> Parsed:
        """Takes a value apart.

        Raises:
            FormatError: with the reason and what to correct.
        """

    def parse_token(self, text: str) -> Parsed:
        """Takes a token apart. Checks its form; ``min`` and ``max`` do not apply.

        Raises:
            FormatError: no token of this format looks like this.
        """

    def render(self, core: str, layout: Layout) -> str:
        """Writes a core, of a value or of a token, in a layout of either. Never fails."""

    def token_plan(self, core: str, storage: Storage) -> Plan:
        """Plans the enciphering of a value's core.

        Raises:
            ValueError: the format has no FPE generator.
        """

    def value_plan(self, token_core: str) -> Plan:
        """Plans the deciphering of a vaultless token's core.

        Raises:
            FormatError: no value of ``min`` to ``max`` characters has such a token.
            ValueError: the format has no FPE generator.
        """

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        """Plans a random token; ``attempt`` counts from 0 and lengthens what may get longer."""


@runtime_checkable
class HasParts(Protocol):
    """A format whose cores have parts with names, which views can show."""

    @property
    def parts(self) -> tuple[str, ...]: ...

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        """Returns where a value core's parts begin and end, by name. Never fails."""


@runtime_checkable
class FiniteFormatSpace(Protocol):
    """A format whose values share so few random tokens that a field can use them up."""

    def space(self) -> tuple[int, RandomPlan]:
        """Returns how many tokens there are, and a plan that yields each equally likely."""


@runtime_checkable
class UnboundedFormatSpace(Protocol):
    """A format whose random tokens get longer where short ones are taken: they never run out."""

    unbounded: Literal[True]


@runtime_checkable
class HasWords(Protocol):
    """A format whose values are words, of which a view can show the first letters."""

    def words(self, core: str) -> Sequence[str]:
        """Returns a value core's words, in order: all that is written of it, none empty.

        Depends on the value alone: whoever presents a token chooses its separators.
        """


@runtime_checkable
class HasFirstCharacters(Protocol):
    """A format whose tokens may begin with other characters than their values."""

    @property
    def first_characters(self) -> str:
        """The characters a token can begin with where its value may begin with another."""


@runtime_checkable
class HasRegions(Protocol):
    """A format whose values may be written as one region writes them."""

    def for_region(self, region: str) -> Format:
        """Returns the format for values of a region, in place of the policy's.

        A region decides which values are accepted and nothing else: not a core, not a
        token. So a value has one token whatever region it came with, and a token is read
        without knowing any.

        Raises:
            FormatOptionError: there is no such region.
        """


@runtime_checkable
class HasSpellings(Protocol):
    """A format in which one thing has several spellings, each a value with its own token."""

    def spelling_key(self, core: str) -> str:
        """Returns a key that all spellings of a value share. Never fails.

        Only for finding them: nothing stored depends on it.
        """


@runtime_checkable
class RecognisesTokens(Protocol):
    """A format that parses more texts as tokens than it makes."""

    def recognise(self, text: str) -> Parsed:
        """Takes a token of today's rules apart, and no other; see ``parse_token``.

        Raises:
            FormatError: no token of today's rules looks like this.
        """


def token_recogniser(form: Format) -> Callable[[str], Parsed]:
    """Returns the parser that decides whether a refused value looks like a token."""
    if _recognises(type(form)):
        return cast("RecognisesTokens", form).recognise
    return form.parse_token


@cache  # asked of a type at each call, it would be as much work as an item
def _recognises(kind: type[object]) -> bool:
    return issubclass(kind, RecognisesTokens)


def check_random_storage(generator: Generator, storage: Storage) -> str | None:
    """Returns why a random token cannot be vaultless; None for any other pair."""
    if generator is Generator.RANDOM and storage is Storage.VAULTLESS:
        return "a random token says nothing about its value: use storage vaulted"
    return None


def too_short(message: str) -> FormatError:
    """Makes the error of a value that is too short."""
    return FormatError(message, reason=Reason.VALUE_TOO_SHORT)


def too_long(message: str) -> FormatError:
    """Makes the error of a value that is too long."""
    return FormatError(message, reason=Reason.VALUE_TOO_LONG)


def not_in_format(message: str) -> FormatError:
    """Makes the error of a value that does not match its format."""
    return FormatError(message, reason=Reason.VALUE_NOT_IN_FORMAT)
