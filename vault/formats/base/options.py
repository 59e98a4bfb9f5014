"""Options of formats: a dataclass per format, whose fields say how a policy's entry is read.

``max: int | None = option(read_integer(1))`` is the whole of an option: ``vault.policy.reading``
finds it there. An option that begins with ``keep_`` is written in the mapping ``keep``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol, Self, TypeAlias, TypeVar, overload

from vault.errors import SetupError

__all__ = [
    "FormatOptionError",
    "FormatOptions",
    "Option",
    "OptionEntry",
    "OptionValue",
    "OptionValues",
    "option",
    "read_boolean",
    "read_integer",
    "read_one_of",
    "read_text",
    "read_texts",
]

OptionValue: TypeAlias = str | int | bool | tuple[str, ...] | None
OptionValues: TypeAlias = Mapping[str, OptionValue]

_MAX_CHARACTERS = 10_000
_READ = "read"
_KEEP = "keep_"

T = TypeVar("T")
Name = TypeVar("Name", bound=str)


class FormatOptionError(SetupError):
    """An option does not fit its format.

    Attributes:
        option: name of the option at fault, or ``format``.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class OptionEntry(Protocol):
    """One value of a policy file. Every method returns None after recording a problem."""

    def text(self) -> str | None: ...
    def integer(self, least: int, most: int) -> int | None: ...
    def boolean(self) -> bool | None: ...
    def one_of(self, names: Mapping[str, T]) -> T | None: ...
    def items(self) -> Sequence[OptionEntry]: ...


Reader: TypeAlias = Callable[[OptionEntry], T | None]


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a format.

    Attributes:
        default: the option's value where a policy leaves it out.
    """

    name: str
    read: Reader[OptionValue]
    default: object

    @property
    def key(self) -> str:
        """The name as a policy has it: ``keep.first`` is written ``keep: {first: 6}``."""
        rest = self.name.removeprefix(_KEEP)
        return self.name if rest == self.name else f"keep.{rest}"


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """What a policy may say about a format: nothing, unless the format has a subclass."""

    @classmethod
    def declared(cls) -> Mapping[str, Option]:
        """Returns the format's options by name."""
        return {
            each.name: Option(each.name, each.metadata[_READ], each.default) for each in fields(cls)
        }

    @classmethod
    def from_values(cls, values: OptionValues) -> Self:
        """Returns the options with some of them set."""
        make: Callable[..., Self] = cls
        return make(**values)


@overload
def option(read: Reader[T]) -> T | None: ...
@overload
def option(read: Reader[T], default: T) -> T: ...
def option(read: Reader[T], default: T | None = None) -> T | None:
    """Declares an option: a dataclass field that knows how a policy's entry is read."""
    return field(default=default, metadata={_READ: read})


def read_integer(least: int) -> Reader[int]:
    """Reads a whole number from ``least``."""
    return lambda entry: entry.integer(least, _MAX_CHARACTERS)


def read_text(entry: OptionEntry) -> str | None:
    """Reads a text."""
    return entry.text()


def read_boolean(entry: OptionEntry) -> bool | None:
    """Reads true or false."""
    return entry.boolean()


def read_texts(entry: OptionEntry) -> tuple[str, ...]:
    """Reads a list of texts."""
    found = [each.text() for each in entry.items()]
    return tuple([each for each in found if each is not None])


def read_one_of(*names: Name) -> Reader[Name]:
    """Reads one of some words."""
    return lambda entry: entry.one_of({name: name for name in names})
