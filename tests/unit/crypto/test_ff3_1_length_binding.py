"""Values of two lengths have tokens that say nothing of each other."""

from __future__ import annotations

import pytest

from vault.crypto.alphabet import Alphabet
from vault.crypto.field_key import FieldKey, TweakInput
from vault.model import Generator

KEY = FieldKey(b"l" * 32, "default", "field", 1)
BITS = Alphabet("01")
TWEAK = TweakInput("field", "", 0)
# FF3-1's rounds see the halves as numbers, and not how long they are: a zero in the middle
# changes a modulus only. Of radix 2 that shows for one value in 2^4; by chance in 2^21.
LENGTH = 20
VALUES = [f"{number * 2654435761 % 2**LENGTH:0{LENGTH}b}" for number in range(400)]


def with_zero(text: str) -> str:
    middle = len(text) // 2
    return f"{text[:middle]}0{text[middle:]}"


def tokens(
    generator: Generator, version: int, values: list[str], *, alone: bool = False
) -> list[str]:
    """Returns tokens by the kernel for many values, or by the reference for one."""
    batches = [[value] for value in values] if alone else [values]
    return [
        token
        for batch in batches
        for token in KEY.encipher_texts(
            generator, BITS, batch, [TWEAK] * len(batch), tweak_version=version
        )
    ]


def related(generator: Generator, version: int, *, alone: bool = False) -> int:
    """Returns how often the longer value's token is the shorter one's with a zero in it."""
    short = tokens(generator, version, VALUES, alone=alone)
    longer = tokens(generator, version, [with_zero(value) for value in VALUES], alone=alone)
    return sum(with_zero(a) == b for a, b in zip(short, longer, strict=True))


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("generator", "version"), [(Generator.FF1, 1), (Generator.FF3_1, 2)])
def test_a_zero_in_a_value_does_not_show_in_its_token(
    generator: Generator, version: int, alone: bool
) -> None:
    assert related(generator, version, alone=alone) == 0


def test_the_first_tweak_version_of_ff3_1_let_it_show() -> None:
    assert related(Generator.FF3_1, 1) > 10
