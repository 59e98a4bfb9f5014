"""FF3-1's 56-bit tweak and its two words (SP 800-38G Rev. 1 draft, algorithm 9, step 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUNDS", "TWEAK_LENGTH", "tweak_word_columns", "tweak_words"]

ROUNDS = 8
TWEAK_LENGTH = 7
_MISFIT = "an FF3-1 tweak must be 7 bytes"


def tweak_words(tweak: bytes) -> tuple[int, int]:
    """Splits a 56-bit tweak into T_L and T_R, as 32-bit numbers. Raises ValueError."""
    if len(tweak) != TWEAK_LENGTH:
        raise ValueError(_MISFIT)
    left = int.from_bytes(tweak[:4], "big") & 0xFFFFFFF0
    right = int.from_bytes(tweak[4:], "big") << 8 | (tweak[3] & 0x0F) << 4
    return left, right


def tweak_word_columns(tweaks: Sequence[bytes]) -> NDArray[np.uint64]:
    """Returns T_L and T_R of many tweaks as the rows of a (2, n) array. Raises ValueError."""
    if set(map(len, tweaks)) - {TWEAK_LENGTH}:
        raise ValueError(_MISFIT)
    t = np.frombuffer(b"".join(tweaks), np.uint8).reshape(-1, TWEAK_LENGTH)
    words = np.zeros((2, len(t), 4), np.uint8)
    words[0] = t[:, :4]
    words[1, :, :3] = t[:, 4:]
    words[1, :, 3] = t[:, 3] << 4
    words[0, :, 3] &= 0xF0
    return words.view(">u4")[..., 0].astype(np.uint64)
