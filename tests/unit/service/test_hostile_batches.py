"""Batches made to cost time: what is said about refused items is bounded, and so is the call."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Literal
from unittest.mock import patch

import pytest

from tests.spellings import POLICY
from tests.unit.service.conftest import ServiceHarness
from vault.errors import Reason, Unavailable
from vault.formats import Parsed
from vault.policy.reading.load import parse_policy
from vault.service.call import Call
from vault.service.columns import parse_column
from vault.service.deadline import in_time
from vault.service.ports import unchanged

FIELDS = parse_policy(POLICY, "spellings").fields
# NFKC makes 18 characters of this one, which folds to no letter of any format.
LONG = "\ufdfa"
ITEMS = 1_000
VALUES = ["4111111111111111"] * 3


class Counting:
    """A parser that counts the items it is asked for."""

    def __init__(self, parse: Callable[[str], Parsed]) -> None:
        self._parse = parse
        self.calls = 0

    def __call__(self, text: str) -> Parsed:
        self.calls += 1
        return self._parse(text)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("text", [LONG * 40, "1\u00a0" * 8, "\u00a0x", "e" + "\u0301" * 200])
def test_hints_are_bounded_by_the_batch(name: str, text: str) -> None:
    form = FIELDS[name].format
    parse, parse_token = Counting(form.parse), Counting(form.parse_token)
    parse_column([text] * ITEMS, parse, parse_token=parse_token)
    assert parse.calls + parse_token.calls <= ITEMS + 200 * 3


def test_the_first_items_refused_are_told_why_and_the_rest_that_they_are() -> None:
    form = FIELDS["card"].format
    failures = parse_column(["\u200b4111111111111111"] * 500, form.parse).failures
    told = [at for at, failure in failures.items() if "invisible mark" in failure.message]
    assert told == list(range(200))
    assert {failure.reason for failure in failures.values()} == {failures[0].reason}


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_normalised_is_short_before_and_after(name: str) -> None:
    form, seen = FIELDS[name].format, []

    def normalize(kind: Literal["NFKC"], text: str) -> str:
        seen.append(len(text))
        return real(kind, text)

    real = unicodedata.normalize
    with patch("vault.formats.base.invisible_characters.unicodedata.normalize", normalize):
        parse_column([LONG * size for size in (1, 100, 250, 300, 900)], form.parse)
    assert max(seen, default=0) <= 256


def test_four_megabytes_of_what_normalises_long_take_no_minute() -> None:
    """12 to 40 s of processor time before, by format."""
    form = FIELDS["phone_us"].format
    start = time.process_time()
    parse_column([LONG * 133] * 10_000, form.parse, parse_token=form.parse_token)
    parse_column([LONG * 1000] * 1_333, form.parse, parse_token=form.parse_token)
    assert time.process_time() - start < 4


def late(harness: ServiceHarness, rpc: str, name: str) -> Call:
    caller = replace(harness.caller(name), deadline=time.monotonic() - 0.001)
    return Call(rpc, caller, harness.policy)


@pytest.mark.parametrize("field", ["card", "ssn", "name", "mail", "account"])
@pytest.mark.parametrize("rpc", ["tokenize", "lookup", "detokenize", "describe", "erase", "values"])
def test_a_call_past_its_deadline_ends_between_items_and_is_audited(
    harness: ServiceHarness, field: str, rpc: str
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "tokenize": lambda: harness.tokens.tokenize(
            late(harness, "Tokenize", "pipeline"), field, VALUES, "", unchanged
        ),
        "lookup": lambda: harness.tokens.lookup(
            late(harness, "Lookup", "steward"), field, VALUES, "", unchanged
        ),
        "detokenize": lambda: harness.tokens.detokenize(
            late(harness, "Detokenize", "restorer"), field, VALUES, "full", unchanged
        ),
        "describe": lambda: harness.tokens.describe(
            late(harness, "Describe", "steward"), field, VALUES, unchanged
        ),
        "erase": lambda: harness.erasure.erase(
            late(harness, "Erase", "privacy"), "ssn", VALUES, (), unchanged
        ),
        "values": lambda: harness.erasure.erase(
            late(harness, "Erase", "privacy"), "ssn", (), VALUES, unchanged
        ),
    }
    harness.tokenize("account", ["0012345678"])
    with pytest.raises(Unavailable, match="smaller batches") as caught:
        calls[rpc]()
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED
    assert harness.work.events[-1].outcome == "failed"
    assert harness.work.events[-1].reason == "DEADLINE_EXCEEDED"


def test_items_are_given_out_while_there_is_time() -> None:
    assert list(in_time([1, 2], None)) == [1, 2]
    assert list(in_time([1, 2], time.monotonic() + 60)) == [1, 2]
    assert list(in_time([], 0.0)) == []
    given = []
    with pytest.raises(Unavailable):
        for item in in_time(range(10), end := time.monotonic() + 0.05):
            given.append(item)
            time.sleep(max(0.0, end - time.monotonic()) if item == 3 else 0)
    assert given == [0, 1, 2, 3]
