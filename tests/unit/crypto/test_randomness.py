"""Random characters without bias."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vault.crypto.alphabet import NAMED_ALPHABETS, Alphabet
from vault.crypto.randomness import random_positions, random_text


@pytest.mark.parametrize("name", ["digits", "lower", "alphanumeric", "hex_lower"])
def test_every_byte_below_the_limit_counts_and_no_other(name: str) -> None:
    alphabet = NAMED_ALPHABETS[name]
    usable = 256 - 256 % alphabet.radix

    text = random_text(
        alphabet, usable, source=lambda count: bytes(range(256)) * (count // 256 + 1)
    )

    counts = Counter(text)
    assert set(counts) == set(alphabet.characters)
    assert len(set(counts.values())) == 1


def test_bytes_above_the_limit_are_drawn_again() -> None:
    blocks = iter([b"\xff\xfe\xfd\xfc", b"\xff\x01\xff\xff", b"\x02\x00"])

    text = random_text(NAMED_ALPHABETS["digits"], 2, source=lambda _: next(blocks))

    assert text == "12"


def test_large_alphabets_and_nothing_at_all() -> None:
    large = Alphabet("".join(map(chr, range(0x4E00, 0x4E00 + 300))))
    assert len(random_text(large, 50)) == 50
    assert set(random_text(large, 50)) <= set(large.characters)
    assert random_text(large, 0) == ""
    assert random_text(NAMED_ALPHABETS["lower"], 0) == ""


@pytest.mark.parametrize("radix", [1, 2, 3, 10, 62, 255, 256, 257, 40_000, 65_536])
def test_positions_are_below_the_radix_and_equally_likely(radix: int) -> None:
    drawn = random_positions(radix, 50_000)
    assert drawn.shape == (50_000,)
    assert drawn.dtype == (np.uint8 if radix <= 256 else np.uint16)
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < radix
    # Six standard deviations of a fair share.
    low = int((drawn < radix // 2).sum())
    assert abs(low - 50_000 * (radix // 2) / radix) < 6 * 112
    assert len(random_positions(radix, 0)) == 0


@pytest.mark.parametrize("radix", [0, -1, 65_537])
def test_a_radix_of_more_than_16_bits_is_refused(radix: int) -> None:
    with pytest.raises(ValueError, match="65536"):
        random_positions(radix, 1)
