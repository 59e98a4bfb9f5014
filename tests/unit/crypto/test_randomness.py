"""Random characters without bias."""

from __future__ import annotations

from collections import Counter

import pytest

from vault.crypto.alphabet import NAMED_ALPHABETS, Alphabet
from vault.crypto.randomness import random_text


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
