"""A server with a bug: Lookup and Describe raise, with what they work on in the error's text.

Run by ``test_canary_troubles.py``, in the place of ``vault.dev.server``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar
from unittest.mock import patch

from vault.dev.server import main
from vault.service.call import Call
from vault.service.results import ColumnResult, DescribeResult
from vault.service.tokenization import TokenizationService

R = TypeVar("R")


def lookup(
    _: TokenizationService,
    _call: Call,
    _field: str,
    values: Sequence[str],
    _region: str,
    _finish: Callable[[ColumnResult], R],
) -> R:
    raise RuntimeError(f"a bug at {list(values)!r}")


def describe(
    _: TokenizationService,
    _call: Call,
    _field: str,
    tokens: Sequence[str],
    _finish: Callable[[DescribeResult], R],
) -> R:
    known: dict[str, R] = {}
    try:
        return known[tokens[0]]
    except KeyError as error:
        raise ValueError(f"caused by {tokens[-1]}") from error


if __name__ == "__main__":
    with (
        patch.object(TokenizationService, "lookup", lookup),
        patch.object(TokenizationService, "describe", describe),
    ):
        sys.exit(main(sys.argv[1:]))
