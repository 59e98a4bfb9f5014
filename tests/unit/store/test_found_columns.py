"""What a look-up's columns come to, also where the database says what it should not."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from vault.formats.columnar.text_column import TextColumn
from vault.model import StoredTokens, TokenState
from vault.store.found_columns import SortedKeys, found_by_mac, found_by_token

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

Row = tuple[bytes, bytes, int]
LIVE = TokenState.LIVE


class OneRow:
    """As much of a ``PGresult`` as is read."""

    def __init__(self, cells: list[bytes]) -> None:
        self._cells = cells

    def get_value(self, row: int, column: int) -> bytes | None:
        assert row == 0
        return self._cells[column] or None


def strung(items: list[bytes]) -> list[bytes]:
    return [b"".join(items), b"".join(len(item).to_bytes(4) for item in items)]


def answer(rows: list[Row], marks: bytes, *led: list[bytes]) -> PGresult:
    """Rows of token, ciphertext and key version."""
    tokens, ciphertexts, versions = ([row[at] for row in rows] for at in range(3))
    numbers = [
        (cast("int", version) << 32 | len(cast("bytes", sealed))).to_bytes(8, signed=True)
        for version, sealed in zip(versions, ciphertexts, strict=True)
    ]
    cells = strung(cast("list[bytes]", tokens))
    cells += [b"".join(cast("list[bytes]", ciphertexts)), b"".join(numbers), marks]
    cells += [cell for items in led for cell in strung(items)]
    return cast("PGresult", OneRow(cells))


def by_token(asked: list[str], rows: list[Row], marks: bytes = b"") -> StoredTokens:
    keys = SortedKeys.tokens(TextColumn.from_strings(asked))
    assert keys is not None
    return found_by_token(keys, answer(rows, marks))


def by_mac(
    asked: list[bytes], rows: list[Row], leading: list[bytes], macs: list[bytes]
) -> dict[bytes, list[tuple[str, bytes]]]:
    """What each MAC was answered with: token and ciphertext."""
    keys = SortedKeys.macs(asked)
    assert keys is not None
    rows_found = found_by_mac(keys, answer(rows, b"", leading, macs))
    found: dict[bytes, list[tuple[str, bytes]]] = {}
    for at, token, sealed in zip(
        rows_found.at, rows_found.tokens, rows_found.ciphertexts, strict=True
    ):
        found.setdefault(asked[at], []).append((token, sealed))
    return found


def test_all_that_was_asked_for_in_order() -> None:
    found = by_token(["22", "33", "11"], [(b"11", b"one", 1), (b"22", b"2", 7), (b"33", b"3", -1)])
    assert (found.at, list(found.tokens)) == ([2, 0, 1], ["11", "22", "33"])
    assert (found.ciphertexts, found.key_versions) == ([b"one", b"2", b"3"], [1, 7, -1])
    assert found.states == [LIVE] * 3


def test_keys_are_sorted_as_the_index_is() -> None:
    keys = SortedKeys.tokens(TextColumn.from_strings(["bé", "ba", "bz", "é1"]))
    assert keys is None  # of several lengths in UTF-8
    keys = SortedKeys.tokens(TextColumn.from_strings(["éa", "aé", "zé"]))
    assert keys is not None
    assert keys.joined.decode() == "aézééa"
    assert keys.at.tolist() == [1, 2, 0]


def test_what_differs_in_length_is_no_table() -> None:
    assert SortedKeys.macs([b"1", b"22"]) is None
    assert SortedKeys.macs([b"", b""]) is None
    assert SortedKeys.tokens(["11", "22"]) is None


def test_what_is_not_live_says_why() -> None:
    rows = [(b"%d" % at, b"" if at != 2 else b"sealed", 1) for at in range(6)]
    found = by_token([str(at) for at in range(6)], rows, b"xe" + b"dl?")
    assert found.ciphertexts == [b"", b"", b"sealed", b"", b"", b""]
    assert found.states == [
        TokenState.EXPIRED,
        TokenState.ERASED,
        LIVE,
        TokenState.DAMAGED,
        LIVE,  # and its ciphertext, which does not open
        TokenState.DAMAGED,
    ]


@pytest.mark.parametrize("rows", [[], [(b"A", b"1", 1)]])
def test_what_was_not_asked_for_is_left_out(rows: list[Row]) -> None:
    """As a collation that takes capitals for small letters would find it."""
    found = by_token(["a", "b"], [*rows, (b"b", b"2", 2)])
    assert (found.at, list(found.tokens)) == ([1], ["b"])
    assert (found.ciphertexts, found.key_versions) == ([b"2"], [2])


def test_texts_that_join_to_the_same_are_not_the_same() -> None:
    found = by_token(["aab", "abb"], [(b"aababb", b"1", 1)])
    assert len(found) == 0
    found = by_token(["aab", "abb"], [(b"aa", b"1", 1), (b"babb", b"2", 1)])
    assert len(found) == 0


def test_no_rows_are_no_tokens() -> None:
    assert len(by_token(["a", "b"], [])) == 0
    assert by_mac([b"m", b"n"], [], [], []) == {}


def test_macs_lead_to_tokens_in_another_order() -> None:
    rows = [(b"1", b"one", 1), (b"2", b"two", 1)]
    found = by_mac([b"n", b"m"], rows, [b"2", b"1"], [b"m", b"n"])
    assert found == {b"m": [("2", b"two")], b"n": [("1", b"one")]}


def test_index_rows_that_lead_nowhere_or_where_others_do() -> None:
    rows = [(b"1", b"one", 1), (b"22", b"two", 1)]
    leading, macs = [b"22", b"0", b"1", b"1"], [b"a", b"b", b"c", b"d"]
    found = by_mac([b"d", b"c", b"b", b"a"], rows, leading, macs)
    assert found == {b"a": [("22", b"two")], b"c": [("1", b"one")], b"d": [("1", b"one")]}


def test_two_index_rows_of_one_mac_are_both_found() -> None:
    rows = [(b"1", b"one", 1), (b"2", b"two", 1)]
    found = by_mac([b"a", b"b"], rows, [b"1", b"2"], [b"a", b"a"])
    assert found == {b"a": [("1", b"one"), ("2", b"two")]}


def test_macs_with_the_same_beginning() -> None:
    asked = [b"00000000b", b"00000000a"]
    found = by_mac(asked, [(b"1", b"one", 1), (b"2", b"two", 1)], [b"1", b"2"], asked[::-1])
    assert found == {asked[1]: [("1", b"one")], asked[0]: [("2", b"two")]}


def test_nothing_is_in_a_repr() -> None:
    keys = SortedKeys.macs([b"secret"])
    assert "secret" not in repr(keys)
