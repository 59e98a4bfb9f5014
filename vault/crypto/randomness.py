"""Random characters of an alphabet, without bias."""

from __future__ import annotations

import os
from collections.abc import Callable
from secrets import choice

from vault.crypto.alphabet import Alphabet

__all__ = ["random_text"]

_BYTE = 256


def random_text(
    alphabet: Alphabet, length: int, *, source: Callable[[int], bytes] = os.urandom
) -> str:
    """Returns ``length`` random characters, each equally likely.

    A byte stands for a character only below the largest multiple of the radix: taking the
    rest of the bytes too would make the first characters of the alphabet likelier.

    Args:
        source: returns as many random bytes as it is asked for.
    """
    characters, radix = alphabet.characters, alphabet.radix
    if radix > _BYTE:
        return "".join(choice(characters) for _ in range(length))
    limit = _BYTE - _BYTE % radix
    chosen: list[str] = []
    while len(chosen) < length:
        # Twice as many as needed: at worst half the bytes are above the limit.
        block = source(2 * (length - len(chosen)))
        chosen += [characters[byte % radix] for byte in block if byte < limit]
    return "".join(chosen[:length])
