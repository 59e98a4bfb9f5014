"""Counting what a call shows of a grant's tokens, as arrays: no object for each token.

The tokens of a part are in the order of their digests, and parts in that of the first bytes: one
part after the other, they are in one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from vault.errors import Denied, Reason
from vault.service.ports import RevealPartRow
from vault.service.reveal.model import DIGEST

__all__ = ["Showings", "parts_of", "shown"]

_COUNTS = np.dtype(">u2")


@dataclass(frozen=True, slots=True)
class Showings:
    """What a call shows.

    Attributes:
        tokens: how many distinct ones.
        spent: of each part, in the order that they were given, its new counts.
        added: of each part, how many of its tokens are shown once more.
    """

    tokens: int
    spent: Sequence[bytes]
    added: Sequence[int]


def parts_of(digests: bytes, parts: int) -> list[int]:
    """Returns the numbers of the parts that digests are in, ascending, of so many."""
    return sorted({first * parts // 256 for first in set(digests[::DIGEST])})


def shown(parts: Sequence[RevealPartRow], digests: bytes, times: int) -> Showings:
    """Counts one showing of each distinct digest.

    Args:
        parts: every one that a digest is in, by rising number.
        digests: one after the other.
        times: how often each may be shown.

    Raises:
        Denied: one is in no part, or was shown as often as may be.
    """
    stored = np.frombuffer(b"".join([part.digests for part in parts]), f"S{DIGEST}")
    counts = np.frombuffer(b"".join([part.spent for part in parts]), _COUNTS)
    wanted = np.frombuffer(digests, f"S{DIGEST}")
    places = _places(stored, wanted)
    if places is None:
        raise Denied("the grant is not for all of these tokens", reason=Reason.GRANT_INVALID)
    once = np.zeros(len(stored), np.int64)
    once[places] = 1
    after = counts + once
    if (after[places] > times).any():
        raise Denied(
            "some of these tokens have been shown as often as the grant says; nothing was charged",
            reason=Reason.GRANT_EXHAUSTED,
        )
    spent, before = after.astype(_COUNTS).tobytes(), np.concatenate(([0], np.cumsum(once)))
    ends = list(accumulate(len(part.digests) // DIGEST for part in parts))
    cuts = list(pairwise([0, *ends]))
    added = [int(before[end] - before[start]) for start, end in cuts]
    size = _COUNTS.itemsize
    return Showings(sum(added), [spent[size * a : size * b] for a, b in cuts], added)


def _places(stored: NDArray[np.bytes_], wanted: NDArray[np.bytes_]) -> NDArray[np.intp] | None:
    """Returns where each wanted digest is, None where one is nowhere."""
    if not len(stored):
        return None
    places = np.minimum(np.searchsorted(stored, wanted), len(stored) - 1)
    return places if (stored[places] == wanted).all() else None
