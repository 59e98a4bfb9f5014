"""The client's results: columns in the caller's order, and sparse errors."""

from __future__ import annotations

from dataclasses import dataclass, field

from vault.client.errors import ItemError
from vault.v1.tokenization_service_pb2 import TokenDescription

__all__ = ["BytesColumn", "Column", "Descriptions", "Erased", "Spellings"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of strings of the request's length and order.

    Attributes:
        values: one answer per item; "" where ``errors`` names the index; None for
            null items, and empty ones as they were given.
        errors: the items that failed, by index.
        skipped: number of null and empty items, which were not sent.
        view: the view that was answered (detokenize), else empty.
        receipts: of detokenize where the policy says that they are given, one for each request
            that the column took: DSSE envelopes, JSON. ``tokenvault audit receipt verify`` checks
            them.
    """

    values: list[str | None] = field(repr=False)
    errors: dict[int, ItemError]
    skipped: int
    view: str = ""
    receipts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BytesColumn:
    """A column of byte strings; like ``Column``."""

    values: list[bytes | None] = field(repr=False)
    errors: dict[int, ItemError]
    skipped: int
    receipts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Descriptions:
    """A column of descriptions; None where ``errors`` names the index or the item was empty."""

    values: list[TokenDescription | None]
    errors: dict[int, ItemError]
    skipped: int


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did.

    Attributes:
        count: number of items whose value is gone.
        errors: the items that failed, by index.
        skipped: number of null and empty items, which were not sent.
        tokens: number of tokens erased, where all spellings were looked for; else None.
    """

    count: int
    errors: dict[int, ItemError]
    skipped: int
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Spellings:
    """Live tokens of values in whatever spelling.

    Attributes:
        found: how many of each value, by index, where there are any. Values that are
            spellings of each other share theirs.
        tokens: how many in all.
        errors: the items that are no values of the field, by index.
        skipped: number of null and empty items, which were not sent.
        looked_at: live tokens of the field that were looked at.
    """

    found: dict[int, int]
    tokens: int
    errors: dict[int, ItemError]
    skipped: int
    looked_at: int
