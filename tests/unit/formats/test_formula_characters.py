"""No token begins with what a spreadsheet takes for a formula, unless its value does too."""

from __future__ import annotations

import pytest

from tests.spellings import ACCEPTED
from tests.unit.formats.test_formats_as_written import FIELDS, token_core
from vault.errors import FormatError, Reason
from vault.formats import build_format

FORMULA = tuple("=+-@\t\r")


def begins(text: str) -> str:
    return text[:1] if text.startswith(FORMULA) else ""


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("before", ["", *FORMULA])
def test_a_token_begins_with_one_only_where_its_value_does(name: str, before: str) -> None:
    field = FIELDS[name]
    for text in ACCEPTED[name]:
        try:
            parsed = field.format.parse(before + text)
        except FormatError:
            continue
        for _ in range(20):
            token = field.format.render(token_core(field, parsed.core), parsed.layout)
            assert begins(token) in {"", begins(before + text)}
            assert not token.startswith(("=", "@"))


@pytest.mark.parametrize("domain", ["reserved", "kept", "drawn"])
def test_an_address_that_begins_as_a_formula_is_refused_and_old_tokens_are_read(
    domain: str,
) -> None:
    email = build_format("email", domain=domain)
    with pytest.raises(FormatError, match="begins with =") as caught:
        email.parse("=1+1@example.org")
    assert caught.value.reason is Reason.VALUE_NOT_IN_FORMAT
    ending = {"reserved": "example.com", "kept": "x.org", "drawn": "qwertzui.example"}[domain]
    token = email.parse_token(f"=qwertzui@{ending}")
    assert email.render("abcdefgh@x.org", token.layout).startswith("=abcdefgh@")
    # It was stored without its =, so that it is erased without it.
    assert email.parse("abcdefgh@example.org").core == "abcdefgh@example.org"
