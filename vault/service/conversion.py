"""What a column becomes, and the two paths that make it: one per storage, with one surface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from vault.formats import Parsed
from vault.formats.columnar.text_column import TextColumn
from vault.model import Failure
from vault.service.ports import Transaction
from vault.service.results import TokenDescription, token_set_message
from vault.service.token_set import packed_token_set

__all__ = ["Conversion", "ConversionPath", "Parse", "Work"]

T = TypeVar("T")

# Fewer are sorted as strings before the arrays are made.
_MIN_TO_PACK = 64


@dataclass(frozen=True, slots=True)
class Conversion(Generic[T]):
    """What became of a column.

    Attributes:
        answers: one per item, empty where ``failures`` names the index.
        failures: by rising index.
        tokens: the token cores, for the audit.
        key_versions: versions of the field key behind them, for the audit.
        receipt: of the call's record, where one is given, else empty.
    """

    answers: Sequence[T] = field(repr=False)
    failures: dict[int, Failure]
    tokens: Sequence[str] = field(repr=False)
    key_versions: frozenset[int]
    receipt: str = ""

    def token_set(self) -> bytes | memoryview:
        """Returns what the audit's digest is taken over."""
        if isinstance(self.tokens, TextColumn) or len(self.tokens) >= _MIN_TO_PACK:
            return packed_token_set(TextColumn.from_strings(self.tokens))
        return token_set_message(self.tokens)


Parse: TypeAlias = Callable[[str], Parsed]
Work: TypeAlias = Callable[[Transaction], Conversion[T]]


class ConversionPath(Protocol):
    """How one call converts, by its field's storage.

    Each method does what needs no transaction, and returns the rest. Both may raise Unavailable
    (DEADLINE_EXCEEDED), and the rest KeysUnavailable, StoreUnavailable, and PolicyError where
    the field has tokens of another token spec.
    """

    def tokenize(self, values: Sequence[str], parse: Parse) -> Work[str]:
        """Converts values into tokens, making those that do not exist yet."""

    def lookup(self, values: Sequence[str], parse: Parse) -> Work[str]:
        """Converts values into their tokens and stores nothing."""

    def detokenize(self, tokens: Sequence[str]) -> Work[str]:
        """Converts tokens into the permitted view of their values."""

    def describe(self, tokens: Sequence[str]) -> Work[TokenDescription | None]:
        """Converts tokens into what is known about them besides their values."""
