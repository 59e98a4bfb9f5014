"""Columns as arrays give what item by item gives: texts, failures and the audit's token set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from vault.crypto.field_key import FieldKey
from vault.formats.base.luhn import luhn_check_digit
from vault.formats.columnar import rows
from vault.formats.columnar.text_column import TextColumn
from vault.policy.model import Field
from vault.policy.reading.load import parse_policy
from vault.service.columnar import separator_free, vaultless_column
from vault.service.columnar.vaultless_column import detokenize_column, tokenize_column
from vault.service.conversion import Conversion
from vault.service.results import token_set_message
from vault.service.token_set import packed_token_set

FORMATS = {
    "digits_ff3": "{alphabet: digits, min: 10, max: 20}, generator: ff3-1",
    "digits_ff1": "{alphabet: digits, min: 6, max: 20}, generator: ff1",
    "kept": "{alphabet: digits, min: 12, max: 20}, keep: {first: 2, last: 3}, generator: ff1",
    "kept_ff3": "{alphabet: digits, min: 15, max: 20}, keep: {last: 4}, generator: ff3-1",
    "mixed_case": "{alphabet: alphanumeric, min: 6, max: 20}, generator: ff1",
    "greek": "{alphabet: αβγδεζηθικλμ\U00020000, min: 6, max: 20}, generator: ff1",
    "card_invalid": "card, generator: ff1",
    "card_three": "card, keep: {last: 3}, generator: ff1",
    "card_valid": "card, min: 15, keep: {last: 4}, token_luhn: valid, generator: ff1",
}
LINES = [f"  {name}: {{format: {text}, storage: vaultless}}" for name, text in FORMATS.items()]
POLICY = parse_policy("\n".join(["version: 1", "fields:", *LINES]), "two paths")
KEY = FieldKey(bytes(range(32)), "default", "field", 1)
NAMES = sorted(FORMATS)
CHARACTERS = {"mixed_case": "aZ09bC", "greek": "αβγδε\U00020000"}


def items(name: str) -> st.SearchStrategy[str]:
    """Values, near misses and hostile texts of a field."""
    plain = st.text(CHARACTERS.get(name, "0123456789"), min_size=1, max_size=21)
    if name.startswith("card"):
        plain = plain.map(lambda text: text + luhn_check_digit(text, "", 0))
    broken = st.text("0123456789aZα -.é٣𝟙\0\U00020000", max_size=24)
    spaced = plain.map(lambda text: f"{text[:4]}-{text[4:]}")
    return st.one_of(plain, plain, spaced, broken, st.text(max_size=24), st.sampled_from(FIXED))


# Equal texts and equal lengths, so that groups form.
FIXED = ["4111111111111111", "5555555555554444", "1234567890123456", "", "αβγδεζ", "aZ09bC"]


@contextmanager
def arrays_from(fewest: int) -> Iterator[None]:
    with (
        patch.object(separator_free, "_MIN_FOR_ROWS", fewest),
        patch.object(rows, "_MIN_ROWS", 1),
    ):
        yield


def plain_texts(made: Conversion[str]) -> tuple[list[str], dict[int, object], list[int], bytes]:
    return list(made.answers), dict(made.failures), list(made.failures), bytes(made.token_set())


def both_paths_agree(
    field: Field, texts: Sequence[str], *, tokens: bool, view: str
) -> Conversion[str]:
    """Compares them under every tweak version; returns what new fields answer."""
    made = {
        version: both_paths_agree_in(field, version, texts, tokens=tokens, view=view)
        for version in field.token_specs
    }
    return made[field.tweak_version]


def both_paths_agree_in(
    field: Field, version: int, texts: Sequence[str], *, tokens: bool, view: str
) -> Conversion[str]:
    def run(column: Sequence[str]) -> Conversion[str]:
        if not tokens:
            return tokenize_column(KEY, field, version, column, field.format.parse)
        shows = {"full": lambda _t, v: v, "token": lambda t, _v: t, "half": lambda t, v: t[:2] + v}
        return detokenize_column(KEY, field, version, column, view, shows[view])

    with arrays_from(10**9):
        slow = run(texts)
    with arrays_from(1):
        quick, packed = run(texts), run(TextColumn.from_strings(texts))
    assert plain_texts(quick) == plain_texts(slow)
    assert plain_texts(packed) == plain_texts(slow)
    return quick


@pytest.mark.parametrize("name", NAMES)
@examples(0.6)
@given(data=st.data())
def test_both_paths_agree(name: str, data: st.DataObject) -> None:
    field = POLICY.fields[name]
    texts = data.draw(st.lists(items(name), min_size=1, max_size=40))
    view = data.draw(st.sampled_from(["full", "token", "half"]))

    made = both_paths_agree(field, texts, tokens=False, view="")
    both_paths_agree(field, list(made.answers), tokens=True, view=view)
    both_paths_agree(field, texts, tokens=True, view=view)


@pytest.mark.parametrize("name", NAMES)
def test_separator_free_items_go_as_rows(name: str) -> None:
    field = POLICY.fields[name]
    characters = CHARACTERS.get(name, "0123456789")
    texts = [characters[i % 5] * 7 + characters[i % 4] * 8 for i in range(20)]
    if name.startswith("card"):
        texts = [text + luhn_check_digit(text, "", 0) for text in texts]

    with arrays_from(1), patch.object(vaultless_column, "encipher_cores", lambda *_: []):
        made = tokenize_column(KEY, field, field.tweak_version, texts, field.format.parse)

    assert isinstance(made.answers, TextColumn)
    assert all(made.answers)
    assert both_paths_agree(field, texts, tokens=False, view="").failures == {}


@pytest.mark.parametrize("name", ["digits_ff1", "card_invalid"])
def test_a_fixed_point_is_refused_both_ways(name: str) -> None:
    field = POLICY.fields[name]
    texts = ["4111111111111111"] * 3 + ["4111111111111112"]

    def identity(
        _self: object, _generator: object, _radix: object, digits: object, *_: object, **_by: object
    ) -> object:
        return digits

    with (
        arrays_from(1),
        patch.object(FieldKey, "encipher_rows", identity),
        patch.object(FieldKey, "decipher_rows", identity),
        patch.object(field.format, "set_token_check_digits", lambda _: None),
        patch.object(field.format, "set_value_check_digits", lambda _: None),
    ):
        made = tokenize_column(KEY, field, 1, texts[:3], field.format.parse)
        read = detokenize_column(KEY, field, 1, texts, "full", lambda _t, v: v)

    assert list(made.answers) == ["", "", ""]
    assert set(made.failures.values()) == {vaultless_column.FIXED_POINT}
    assert read.failures
    assert made.token_set() == token_set_message(())


@examples(3)
@given(st.lists(st.text(max_size=20) | st.text("0123456789", max_size=20), max_size=30))
def test_the_packed_token_set_is_the_token_set(texts: list[str]) -> None:
    assert packed_token_set(TextColumn.from_strings(texts)) == token_set_message(texts)


@examples(3)
@given(st.lists(st.text(max_size=20) | st.text("abc", max_size=20), max_size=30))
def test_a_column_is_its_strings_and_its_utf8(texts: list[str]) -> None:
    column = TextColumn.from_strings(texts)
    data, offsets = column.to_utf8()

    assert list(column) == texts == [column[i] for i in range(len(texts))]
    assert column[1:3] == texts[1:3]
    assert data == "".join(texts).encode()
    assert list(TextColumn.from_utf8(data, offsets)) == texts
    assert "TextColumn" in repr(column)
