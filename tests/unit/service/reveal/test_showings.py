"""Counting the showings of a grant's tokens over several parts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from struct import pack, unpack
from uuid import UUID

import pytest

from vault.errors import Denied, Reason
from vault.service.ports import RevealPartRow
from vault.service.reveal.model import DIGEST, MAX_PARTS, parts_for
from vault.service.reveal.rows import part_of
from vault.service.reveal.showings import parts_of, shown

SOME = random.Random(3)
# With bytes that an array of texts would take for the end of one.
DIGESTS = [
    *(SOME.randbytes(DIGEST) for _ in range(300)),
    *(bytes([at]) * 4 + bytes(DIGEST - 4) for at in range(8)),
    bytes(DIGEST - 1) + b"\1",
]


def stored(counts: dict[bytes, int], parts: int) -> list[RevealPartRow]:
    rows = []
    for number in range(parts):
        mine = sorted(each for each in counts if part_of(each, parts) == number)
        spent = pack(f">{len(mine)}H", *(counts[each] for each in mine))
        row = RevealPartRow("t", UUID(int=1), number, b"".join(mine), spent, 1, bytes(32))
        if mine:
            rows.append(row)
    return rows


def counted(rows: Sequence[RevealPartRow], spent: Sequence[bytes]) -> dict[bytes, int]:
    found = {}
    for row, packed in zip(rows, spent, strict=True):
        for at, count in enumerate(unpack(f">{len(packed) // 2}H", packed)):
            found[row.digests[at * DIGEST : (at + 1) * DIGEST]] = count
    return found


@pytest.mark.parametrize("parts", [1, 2, 16, 256])
def test_each_distinct_token_is_shown_once_more(parts: int) -> None:
    before = {each: SOME.randrange(3) for each in DIGESTS}
    asked = SOME.sample(DIGESTS, 120)
    rows = stored(before, parts)
    numbers = parts_of(b"".join(asked), parts)
    assert numbers == sorted({part_of(each, parts) for each in asked})
    mine = [row for row in rows if row.part in numbers]
    found = shown(mine, b"".join(asked + asked[:50]), 3)
    assert found.tokens == 120
    after = {row.part: each for row, each in zip(mine, found.spent, strict=True)}
    spent = [after.get(row.part, row.spent) for row in rows]
    assert counted(rows, spent) == {each: before[each] + (each in asked) for each in before}
    assert found.added == [sum(part_of(a, parts) == row.part for a in asked) for row in mine]


@pytest.mark.parametrize("times", [1, 65_535])
def test_nothing_is_shown_more_often_than_may_be(times: int) -> None:
    rows = stored({each: times - (each != DIGESTS[5]) for each in DIGESTS}, 4)
    assert shown(rows, b"".join(DIGESTS[:5]), times).tokens == 5
    with pytest.raises(Denied) as caught:
        shown(rows, b"".join(DIGESTS[:6]), times)
    assert caught.value.reason is Reason.GRANT_EXHAUSTED


@pytest.mark.parametrize("known", [0, 1, 200])
def test_a_token_that_is_not_in_the_grant_is_refused(known: int) -> None:
    rows = stored(dict.fromkeys(DIGESTS[:known], 0), 1)
    for other in (DIGESTS[-1], bytes(DIGEST), b"\xff" * DIGEST):
        with pytest.raises(Denied) as caught:
            shown(rows, b"".join([*DIGESTS[:known], other]), 9)
        assert caught.value.reason is Reason.GRANT_INVALID


def test_parts_hold_some_tens_of_tokens_each() -> None:
    sizes = [(0, 1), (1, 1), (64, 1), (65, 2), (1000, 16), (100_000, MAX_PARTS)]
    assert [(tokens, parts_for(tokens)) for tokens, _ in sizes] == sizes
