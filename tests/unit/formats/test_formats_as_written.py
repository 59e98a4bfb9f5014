"""Values as people write them: restored byte for byte, or refused with what to correct."""

from __future__ import annotations

import pytest

from tests.spellings import ACCEPTED, POLICY, REFUSED
from vault.crypto.field_key import FieldKey, TweakInput
from vault.crypto.randomness import random_text
from vault.errors import FormatError
from vault.formats import FORMATS
from vault.model import Generator, Storage
from vault.policy.model import Field
from vault.policy.reading.load import parse_policy

FIELDS = parse_policy(POLICY, "spellings").fields
KEY = FieldKey(b"k" * 32, "default", "f", 1)


def token_core(field: Field, core: str) -> str:
    if field.generator is Generator.RANDOM:
        drawn = field.format.random_plan(core, 0)
        return drawn.build(random_text(drawn.alphabet, drawn.length))
    plan = field.format.token_plan(core, Storage.VAULTED)
    tweak = TweakInput("field", plan.kept, 0)
    made = KEY.encipher_texts(
        field.generator, plan.alphabet, [plan.text], [tweak], tweak_version=field.tweak_version
    )
    return plan.build(made[0])


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in ACCEPTED.items() for text in texts]
)
def test_what_people_write_comes_back(name: str, text: str) -> None:
    field = FIELDS[name]
    parsed = field.format.parse(text)
    token = field.format.render(token_core(field, parsed.core), parsed.layout)
    assert field.format.render(parsed.core, field.format.parse_token(token).layout) == text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [(name, text, message) for name, texts in REFUSED.items() for text, message in texts],
)
def test_what_is_refused_says_what_to_mend(name: str, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        FIELDS[name].format.parse(text)
    assert text.strip(".") not in caught.value.message or text.strip(". ") == ""


def test_every_format_is_written_in_some_way() -> None:
    assert {field.format_name for field in FIELDS.values()} == set(FORMATS)
    assert set(ACCEPTED) == set(FIELDS)
    assert sum(map(len, ACCEPTED.values())) + sum(map(len, REFUSED.values())) > 200
