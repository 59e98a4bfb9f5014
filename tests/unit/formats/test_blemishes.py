"""What nobody sees in a value that was refused, and what is no such thing."""

from __future__ import annotations

import pytest

from vault.formats.blemishes import blemish

BEFORE_OR_AFTER = "before or after"
WITHIN = "only looks like"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" 42", BEFORE_OR_AFTER),
        ("1982-03-29\n", BEFORE_OR_AFTER),
        ("\ufeff4111", BEFORE_OR_AFTER),
        ("4111\u200b", BEFORE_OR_AFTER),
        ("\u00a04111", BEFORE_OR_AFTER),
        ("4111\u20071111", WITHIN),
        ("4111\u200b1111", WITHIN),
        ("4111\u20141111", WITHIN),
        ("４111", WITHIN),
    ],
)
def test_it_is_named_without_saying_which(text: str, says: str) -> None:
    found = blemish(text)
    assert found is not None
    assert says in found
    assert text.strip() not in found


@pytest.mark.parametrize(
    "text", ["", " ", "4111 1111", "4111\u00a01111\u20131111", "Ünal", "李", "x_y", "(415)"]
)
def test_ordinary_texts_have_none(text: str) -> None:
    assert blemish(text) is None
