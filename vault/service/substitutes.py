"""What is answered for each token of a call that a rule's conditions deny.

It is made of the token that the caller sent, and of nothing else: no row is looked for, so it does
not even show whether there is such a token. It is never an answer, only a part of the failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vault.model import Failure, OnDenied
from vault.service.results import ColumnResult

__all__ = ["substituted"]

_MASK = "*"


def substituted(tokens: Sequence[str], failure: Failure) -> ColumnResult:
    """Returns a column in which every item has failed, each with its substitute."""
    failures = {
        at: replace(failure, substitute=_substitute(token, failure.on_denied))
        for at, token in enumerate(tokens)
    }
    return ColumnResult([""] * len(failures), failures)


def _substitute(token: str, on_denied: OnDenied) -> str:
    if on_denied is OnDenied.TOKEN:
        return token
    return "".join(_MASK if character.isalnum() else character for character in token)
