"""Random characters of an alphabet, without bias."""

from __future__ import annotations

import os
from collections.abc import Callable
from secrets import choice

import numpy as np

from vault.crypto.alphabet import Alphabet
from vault.crypto.fpe.limbs import Digits

__all__ = ["random_positions", "random_text"]

_BYTE = 256
_WORDS = 1 << 16


def random_positions(radix: int, count: int) -> Digits:
    """Returns ``count`` random numbers below ``radix``, each equally likely.

    As ``random_text``, of 16 bits each: those above the largest multiple of the radix are left.

    Raises:
        ValueError: the radix is not from 1 to 65,536.
    """
    if not 1 <= radix <= _WORDS:
        raise ValueError("a radix is from 1 to 65536")
    limit = _WORDS - _WORDS % radix
    drawn = np.empty(0, np.uint32)
    while len(drawn) < count:
        words = np.frombuffer(os.urandom(4 * (count - len(drawn))), np.uint16).astype(np.uint32)
        drawn = np.concatenate([drawn, words[words < limit] % radix])
    chosen = drawn[:count]
    return chosen.astype(np.uint8) if radix <= _BYTE else chosen.astype(np.uint16)


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
