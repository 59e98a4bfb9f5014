"""Whether rows that an index led to are those of the values asked for."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import create_autospec

import pytest

from vault.crypto.field_key import FieldKey
from vault.errors import FormatError
from vault.formats.columnar.text_column import TextColumn, utf8_of
from vault.model import Scope, StoredTokens, TokenSpace, TokenState
from vault.service.ports import KeySource
from vault.service.stored_rows import match_each

SPACE = TokenSpace("default", "card_number")
KEY = FieldKey(bytes(range(32)), "default", "card_number", 3)
KEYS = create_autospec(KeySource, instance=True)
KEYS.field_key.return_value = KEY
VALUES = ["12", "3", "4111", "ä"]


def stored(values: list[str], at: list[int]) -> StoredTokens:
    tokens = [f"token {number}" for number in range(len(values))]
    sealed = [
        KEY.seal(value.encode(), scope="field", token=token)
        for value, token in zip(values, tokens, strict=True)
    ]
    return StoredTokens(at, tokens, sealed, [3] * len(values), [TokenState.LIVE] * len(values))


def matches(rows: StoredTokens, values: list[str]) -> list[bool]:
    return match_each(KEYS, SPACE, Scope.FIELD, rows, utf8_of(TextColumn.from_strings(values)))


def test_rows_match_what_they_were_found_by_in_any_order() -> None:
    assert matches(stored(VALUES[::-1], [3, 2, 1, 0]), VALUES) == [True] * 4


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["1", "23", "4111", "ä"], [False, False, True, True]),  # as long together
        (["12", "3", "4112", "ä"], [True, True, False, True]),
        (["3", "12", "4111", "ä"], [False, False, True, True]),
    ],
)
def test_a_row_of_another_value_does_not_match_and_the_others_do(
    asked: list[str], expected: list[bool]
) -> None:
    assert matches(stored(VALUES, [0, 1, 2, 3]), asked) == expected


def test_of_two_rows_of_one_value_neither_matches_and_the_others_do() -> None:
    doubled = ["12", "12", "3", "ä"]
    assert matches(stored(doubled, [0, 0, 1, 3]), VALUES) == [False, False, True, True]
    assert matches(stored(["12", "4111", "3"], [0, 0, 1]), VALUES) == [False, False, True]


def test_a_row_that_does_not_open_does_not_match_and_the_others_do() -> None:
    rows = stored(VALUES, [0, 1, 2, 3])
    swapped = [rows.tokens[1], rows.tokens[0], *rows.tokens[2:]]
    assert matches(replace(rows, tokens=swapped), VALUES) == [False, False, True, True]


def test_a_row_that_is_not_live_does_not_match_though_it_would_open() -> None:
    rows = stored(VALUES, [0, 1, 2, 3])
    states = [TokenState.ERASED, TokenState.EXPIRED, TokenState.LIVE, TokenState.LIVE]
    assert matches(replace(rows, states=states), VALUES) == [False, False, True, True]


@pytest.mark.parametrize("texts", [["", "ab", "c"], ["ä", "", "\U0001f600b"], []])
def test_a_columns_texts_in_utf8_are_those_of_its_strings(texts: list[str]) -> None:
    assert (
        utf8_of(TextColumn.from_strings(texts))
        == utf8_of(texts)
        == [text.encode() for text in texts]
    )


def test_a_lone_surrogate_is_refused_as_in_a_string() -> None:
    with pytest.raises(FormatError, match="lone surrogate"):
        utf8_of(TextColumn.from_strings(["a", "\ud800"]))
