"""The results of the use cases: columns in request order, and sparse failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vault.model import Failure

__all__ = [
    "BytesResult",
    "ColumnResult",
    "DescribeResult",
    "TokenDescription",
    "outcome_counts",
    "token_set_message",
]


@dataclass(frozen=True, slots=True)
class ColumnResult:
    """A column of strings, empty where ``failures`` names the index.

    Attributes:
        view: the view that was answered (Detokenize), else empty.
        receipt: of what was answered, where the policy says that one is given, else empty.
    """

    values: Sequence[str] = field(repr=False)
    failures: Mapping[int, Failure]
    view: str = ""
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class BytesResult:
    """A column of byte strings, empty where ``failures`` names the index; ``receipt`` as above."""

    values: list[bytes] = field(repr=False)
    failures: Mapping[int, Failure]
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class TokenDescription:
    """What is known about a token besides its value."""

    format: str
    generator: str
    storage: str
    key_version: int
    created: datetime | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class DescribeResult:
    """A column of descriptions, None where ``failures`` names the index."""

    descriptions: Sequence[TokenDescription | None]
    failures: Mapping[int, Failure]


def outcome_counts(total: int, failures: Mapping[int, Failure]) -> dict[str, int]:
    """Returns items per outcome for the audit: ``ok`` and one entry per reason."""
    counts = Counter(failure.reason.value for failure in failures.values())
    return {"ok": total - len(failures), **dict(sorted(counts.items()))}


def token_set_message(tokens: Iterable[str]) -> bytes:
    """Returns what the audit's token-set digest is taken over: distinct, sorted, length-prefixed.

    An auditor who holds the tokens can recompute it; nobody can read them out of it.
    """
    distinct = sorted(set(tokens))
    return "".join(["token-set\n", *(f"{len(token)}:{token}" for token in distinct)]).encode()
