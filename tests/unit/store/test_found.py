"""What a look-up's rows come to, also where the database says what it should not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from vault.model import StoredTokens, TokenState
from vault.store.found import only, stored_tokens

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

ONE, TWO = (1).to_bytes(4), (2).to_bytes(4)


@dataclass
class Rows:
    """As much of a ``PGresult`` as is read."""

    rows: list[tuple[bytes | None, ...]]

    @property
    def ntuples(self) -> int:
        return len(self.rows)

    @property
    def nfields(self) -> int:
        return len(self.rows[0])

    def get_value(self, row: int, column: int) -> bytes | None:
        return self.rows[row][column]


def read(asked: list[bytes], *rows: tuple[bytes | None, ...]) -> StoredTokens:
    return stored_tokens(asked, cast("PGresult", Rows(list(rows))))


def test_rows_found_by_token_come_in_their_own_order() -> None:
    found = read([b"a", "ä".encode()], ("ä".encode(), b"2", TWO, None), (b"a", b"1", ONE, None))
    assert (found.at, found.tokens) == ([1, 0], ["ä", "a"])
    assert (found.ciphertexts, found.key_versions) == ([b"2", b"1"], [2, 1])
    assert found.states == [TokenState.LIVE] * 2


def test_rows_found_by_mac_have_it_in_front() -> None:
    found = read([b"m", b"n"], (b"n", b"t", b"c", ONE, None))
    assert (found.at, found.tokens, found.ciphertexts) == ([1], ["t"], [b"c"])


def test_what_is_not_live_says_why() -> None:
    states = [b"expired", b"erased", b"", b"odd", b"live", None]
    rows = [(b"%d" % at, None, ONE, state) for at, state in enumerate(states)]
    found = read([row[0] for row in rows], *rows)
    assert found.ciphertexts == [b""] * 6
    assert found.states == [
        TokenState.EXPIRED,
        TokenState.ERASED,
        TokenState.DAMAGED,
        TokenState.DAMAGED,
        TokenState.LIVE,  # and its ciphertext, which does not open
        TokenState.LIVE,
    ]


def test_what_was_not_asked_for_is_left_out() -> None:
    """As a collation that takes capitals for small letters would find it."""
    found = read([b"a", b"b"], (b"A", b"1", ONE, None), (b"b", None, TWO, b"erased"))
    assert (found.at, found.tokens, found.key_versions) == ([1], ["b"], [2])
    assert found.states == [TokenState.ERASED]


def test_no_rows_are_no_tokens() -> None:
    assert len(stored_tokens([b"a"], cast("PGresult", Rows([])))) == 0


def test_only_some_of_the_rows() -> None:
    found = read([b"a", b"b"], (b"a", b"1", ONE, None), (b"b", b"2", TWO, None))
    assert only(found, [False, True]) == StoredTokens([1], ["b"], [b"2"], [2], [TokenState.LIVE])
