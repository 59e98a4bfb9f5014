"""Random ids, drawn many at a time.

The operating system's randomness is a system call, for which a thread gives up the
interpreter: with other calls waiting for it, that is two thread switches a call.
"""

from __future__ import annotations

import secrets
from collections import deque

__all__ = ["RandomIds"]

_BYTES = 16
_DRAWN = 256


class RandomIds:
    """Ids of 128 random bits, in hex. Threads may share it; no two get the same."""

    def __init__(self) -> None:
        self._drawn: deque[str] = deque()

    def next(self) -> str:
        """Returns an id."""
        try:
            return self._drawn.pop()
        except IndexError:
            # Two threads at once draw more than is needed, which harms nobody.
            more = secrets.token_bytes(_BYTES * _DRAWN).hex()
            step = 2 * _BYTES
            self._drawn.extend(more[at : at + step] for at in range(step, len(more), step))
            return more[:step]
