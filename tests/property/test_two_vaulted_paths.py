"""Vaulted fields: columns as arrays answer, store and record what item by item does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.service.conftest import FixedKeys
from vault.errors import Reason
from vault.formats.base.luhn import luhn_check_digit
from vault.formats.columnar import rows
from vault.formats.columnar.text_column import TextColumn
from vault.model import Caller, Principal, TokenSpace, TokenState
from vault.policy.reading.load import parse_policy
from vault.service import token_creation
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.columnar import separator_free
from vault.service.ports import unchanged
from vault.service.results import ColumnResult
from vault.service.tokenization import TokenizationService
from vault.testing.store import MemoryUnitOfWork

VIEWS = ", views: {last2: {show_last: 2}}"
FORMATS = {
    "digits_ff3": "{alphabet: digits, min: 10, max: 20}, generator: ff3-1, ttl: 30d",
    "digits_ff1": "{alphabet: digits, min: 6, max: 20}, generator: ff1",
    "kept": "{alphabet: digits, min: 12, max: 20}, keep: {first: 2, last: 3}, generator: ff1",
    "mixed_case": "{alphabet: alphanumeric, min: 6, max: 20}, generator: ff1",
    "kept_case": "{alphabet: alphanumeric, min: 12, max: 20}, keep: {first: 2}, generator: ff1",
    "random": "{alphabet: alphanumeric, min: 6, max: 20}, generator: random",
    "greek": "{alphabet: αβγδεζηθικλμ\U00020000, min: 6, max: 20}, generator: ff1",
    "greek_case": "{alphabet: αβγδεΑΒΓΔΕ, min: 12, max: 20}, generator: ff1",
    "once": "{alphabet: digits, min: 8, max: 20}, generator: ff1, scope: none",
    "card_invalid": "card, generator: ff1",
    "card_any": "card, keep: {last: 3}, generator: ff1, token_luhn: any",
    "card_random": "card, min: 15, keep: {last: 4}, token_luhn: valid, generator: random",
    "uuid": "uuid, generator: ff1",
}
LINES = [f"  {name}: {{format: {text}{VIEWS}}}" for name, text in FORMATS.items()]
ROLES = """
roles:
  writer: [{fields: ["*"], allow: [tokenize, lookup]}]
  full: [{fields: ["*"], allow: [detokenize], view: full}]
  token: [{fields: ["*"], allow: [detokenize], view: token}]
  last2: [{fields: ["*"], allow: [detokenize], view: last2}]
principals:
  - {spiffe: "spiffe://example.org/writer", roles: [writer, full, token, last2]}
"""
POLICY = parse_policy("\n".join(["version: 1", "fields:", *LINES, ROLES]), "two vaulted paths")
NAMES = sorted(FORMATS)
CHARACTERS = {
    "mixed_case": "aZ09bC",
    "kept_case": "AZ09bC",
    "random": "aZ09bC",
    "greek": "αβγδε\U00020000",
    "greek_case": "αβγΑΒΓ",
    "uuid": "0123456789abcdef",
}
CALLER = Caller(Principal("spiffe", "spiffe://example.org/writer"), "peer", "01", "r-1")
# Equal texts and equal lengths, so that groups form.
FIXED = ["4111111111111111", "5555555555554444", "1234567890123456", "", "αβγδεζ", "aZ09bC"]


def items(name: str) -> st.SearchStrategy[str]:
    """Values, near misses and hostile texts of a field."""
    characters = CHARACTERS.get(name, "0123456789")
    plain = st.text(characters, min_size=1, max_size=21)
    if name.startswith("card"):
        plain = plain.map(lambda text: text + luhn_check_digit(text, "", 0))
    if name == "uuid":
        plain = st.text(characters, min_size=32, max_size=32)
    cased = plain.map(str.upper) if characters.isascii() else plain
    broken = st.text("0123456789aZα -.é٣𝟙\0\U00020000", max_size=24)
    spaced = plain.map(lambda text: f"{text[:4]}-{text[4:]}")
    hostile = st.text(max_size=24)
    return st.one_of(plain, plain, cased, spaced, broken, hostile, st.sampled_from(FIXED))


class CachedKeys(FixedKeys):
    """Fixed keys, made once."""

    version = cache(FixedKeys.field_key)
    index = cache(FixedKeys.index_key)
    __hash__ = object.__hash__


KEYS = CachedKeys()


class Side:
    """The use cases over a store of its own."""

    def __init__(self, keys: FixedKeys = KEYS) -> None:
        self.work = MemoryUnitOfWork()
        self.service = TokenizationService(Admission(self.work, Budgets(keys)), keys)

    def run(
        self, column: Callable[[], Sequence[str]], do: Callable[[Sequence[str]], ColumnResult]
    ) -> tuple[object, ...]:
        """What a call answers and records, by its column."""
        result = do(column())
        event = self.work.events[-1]
        recorded = event.counts, event.key_versions, event.token_digest
        return (list(result.values), dict(result.failures), list(result.failures), recorded)

    def tokenize(self, field: str) -> Callable[[Sequence[str]], ColumnResult]:
        call = Call("Tokenize", CALLER, POLICY)
        return lambda texts: self.service.tokenize(call, field, texts, "", unchanged)

    def lookup(self, field: str) -> Callable[[Sequence[str]], ColumnResult]:
        call = Call("Lookup", CALLER, POLICY)
        return lambda texts: self.service.lookup(call, field, texts, "", unchanged)

    def detokenize(self, field: str, view: str) -> Callable[[Sequence[str]], ColumnResult]:
        call = Call("Detokenize", CALLER, POLICY)
        return lambda texts: self.service.detokenize(call, field, texts, view, unchanged)

    def end(self, field: str, token: str, state: TokenState) -> None:
        """Lets a token expire, or makes a tombstone of it."""
        space = TokenSpace("default", field)
        if state is TokenState.EXPIRED:
            self.work.set_expiry(space, token, self.work._clock() - timedelta(days=1))
        else:
            row = self.work._tables.tokens[space, token]
            erased = replace(row, state=state, ciphertext=b"")
            self.work._tables.tokens[space, token] = erased


@contextmanager
def arrays_from(fewest: int) -> Iterator[None]:
    with (
        patch.object(separator_free, "_MIN_FOR_ROWS", fewest),
        patch.object(rows, "_MIN_ROWS", 1),
    ):
        yield


def agree(
    side: Side, texts: Sequence[str], do: Callable[[Sequence[str]], ColumnResult]
) -> tuple[object, ...]:
    """Compares both paths, and a packed column, on one store that they leave as it is."""
    with arrays_from(10**9):
        slow = side.run(lambda: texts, do)
    with arrays_from(1):
        assert side.run(lambda: texts, do) == slow
        assert side.run(lambda: TextColumn.from_strings(texts), do) == slow
    return slow


@pytest.mark.parametrize("name", NAMES)
@examples(0.4)
@given(data=st.data())
def test_both_paths_agree(name: str, data: st.DataObject) -> None:
    field = POLICY.fields[name]
    deterministic = name not in {"random", "card_random", "once"}
    texts = data.draw(st.lists(items(name), min_size=1, max_size=40))
    slow, quick = Side(), Side()

    with arrays_from(10**9):
        made = slow.run(lambda: texts, slow.tokenize(name))
    with arrays_from(1):
        made_by_arrays = quick.run(lambda: texts, quick.tokenize(name))
    if deterministic:
        assert made_by_arrays == made
        assert quick.work._tables.tokens.keys() == slow.work._tables.tokens.keys()
        assert quick.work._tables.index == slow.work._tables.index
    assert made_by_arrays[1:3] == made[1:3]

    for side, answered in ((slow, made), (quick, made_by_arrays)):
        known, failures = list(answered[0]), dict(answered[1])  # type: ignore[call-overload]
        if name != "once":
            assert agree(side, texts, side.tokenize(name))[0] == known
            assert agree(side, texts, side.lookup(name))[0] == known
        whole = [token for at, token in enumerate(known) if at not in failures]
        back = agree(side, whole, side.detokenize(name, "full"))
        assert back[0] == [text for at, text in enumerate(texts) if at not in failures]
        asked = [*known, *texts, *known]
        for token, state in zip(
            sorted(set(whole)), (TokenState.EXPIRED, TokenState.ERASED), strict=False
        ):
            core = field.format.parse_token(token).core
            side.end(name, core, state)
        for view in ("full", "token", "last2"):
            agree(side, asked, side.detokenize(name, view))
        if name != "once":
            agree(side, texts, side.lookup(name))


@pytest.mark.parametrize("name", ["digits_ff1", "mixed_case", "random", "digits_ff3"])
def test_separator_free_items_go_as_arrays(name: str) -> None:
    side, texts = Side(), [f"{n:010d}" for n in range(100)]
    with (
        patch.object(token_creation, "encipher_cores", side_effect=AssertionError),
        patch.object(POLICY.fields[name].format, "random_plan", side_effect=AssertionError),
    ):
        tokens = side.tokenize(name)(texts)
    answered = side.detokenize(name, "full")(tokens.values)
    assert tokens.failures == {}
    assert isinstance(answered.values, TextColumn)
    assert list(answered.values) == texts


def test_a_random_token_shows_the_case_of_its_value() -> None:
    side = Side()
    texts = [f"ABC{n:05d}" for n in range(90)] + [f"abc{n:05d}" for n in range(90)]
    tokens = list(side.tokenize("random")(texts).values)
    assert all(token == token.upper() for token in tokens[:90])
    assert all(token == token.lower() for token in tokens[90:])
    assert len({token[3] for token in tokens}) > 20


def test_rows_and_other_items_share_their_tokens() -> None:
    side = Side()
    texts = [f"{n:010d}" for n in range(80)] + ["000-000-0007", "000-000-0099", "0000000007"]
    tokens = side.tokenize("digits_ff1")(texts).values
    assert tokens[80].replace("-", "") == tokens[7] == tokens[82]
    assert len(side.work._tables.tokens) == 81
    assert list(side.detokenize("digits_ff1", "full")(tokens).values) == texts


@pytest.mark.parametrize("attempts", [1, 3, 8])
def test_tokens_that_are_taken_are_tried_again(attempts: int) -> None:
    """Rows whose tokens' strings others have get another, as item by item."""
    texts, side = [f"{n:010d}" for n in range(100)], Side()
    first = list(side.tokenize("digits_ff1")(texts).values)
    side.work._tables.index.clear()
    for _ in range(attempts):
        again = side.tokenize("digits_ff1")(texts)
        assert again.failures == {}
        assert not set(again.values) & set(first)
        side.work._tables.index.clear()
    assert {failure.reason for failure in side.lookup("digits_ff1")(texts).failures.values()} == {
        Reason.TOKEN_NOT_FOUND
    }


def test_rows_of_several_key_versions_open_together() -> None:
    keys = FixedKeys()
    side, texts = Side(keys), [f"{n:010d}" for n in range(140)]
    first = list(side.tokenize("digits_ff1")(texts[:70]).values)
    keys.active_version = 2
    tokens = list(side.tokenize("digits_ff1")(texts).values)
    assert tokens[:70] == first
    assert side.work.events[-1].key_versions == (1, 2)
    answered = side.detokenize("digits_ff1", "full")(tokens)
    assert list(answered.values) == texts
    assert side.work.events[-1].key_versions == (1, 2)

    # A row that claims a version that does not exist, or another, fails alone.
    space = TokenSpace("default", "digits_ff1")
    for token, version in ((tokens[0], 7), (tokens[1], 2)):
        row = side.work._tables.tokens[space, token]
        side.work._tables.tokens[space, token] = replace(row, key_version=version)
    answered = side.detokenize("digits_ff1", "full")(tokens)
    assert list(answered.values) == ["", "", *texts[2:]]
    assert {at: failure.reason for at, failure in answered.failures.items()} == {
        0: Reason.DECRYPTION_FAILED,
        1: Reason.DECRYPTION_FAILED,
    }
    again = side.tokenize("digits_ff1")(texts)
    assert again.failures.keys() == {0, 1}
