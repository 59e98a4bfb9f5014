"""Every format by FF1 and FF3-1 under real keys, at any length, in threads, from any spelling."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.spellings import ACCEPTED, POLICY
from vault.crypto.field_key import FieldKey, TweakInput
from vault.crypto.randomness import random_text
from vault.crypto.tweak import TWEAK_VERSIONS
from vault.errors import FormatError
from vault.formats import OptionValues, Plan, build_format
from vault.formats.base.luhn import luhn_check_digit
from vault.model import Generator, Storage
from vault.policy.model import Field
from vault.policy.reading.load import parse_policy

FIELDS = parse_policy(POLICY, "spellings").fields
KEY = FieldKey(b"k" * 32, "default", "f", 1)
CIPHERS = [Generator.FF1, Generator.FF3_1]
# Combining, direction and width: what looks like a value and is none.
STRANGE = (
    "\u0301\u0308\u0345\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u202e\u2066\ufe0f\ufeff\u00ad"
    "\ud800\udfff\x00\x1f\x7f\n\r\t\u2028\u20dd１Ａ٣९²①Ⅳａ－\u3000\u2212\u2024İıſß"
)


def run(
    generator: Generator, plans: Sequence[Plan], *, back: bool = False, key: FieldKey = KEY
) -> list[str]:
    """Enciphers or deciphers by the batch, all plans of one alphabet."""
    cipher = key.decipher_texts if back else key.encipher_texts
    tweaks = [TweakInput("field", plan.kept, 0) for plan in plans]
    version = TWEAK_VERSIONS[generator][0]
    texts = [plan.text for plan in plans]
    texts = cipher(generator, plans[0].alphabet, texts, tweaks, tweak_version=version)
    return [plan.build(text) for plan, text in zip(plans, texts, strict=True)]


def ciphered() -> list[tuple[str, Generator]]:
    return [
        (name, generator)
        for name, field in FIELDS.items()
        for generator in CIPHERS
        if field.format.check_generator(generator, Storage.VAULTED) is None
        and field.effective_domain >= 10**6
    ]


@pytest.mark.parametrize(("name", "generator"), ciphered())
def test_batch_and_one_by_one_agree_and_restore(name: str, generator: Generator) -> None:
    form = FIELDS[name].format
    # Many values, so that the batch goes through the kernel and single ones do not.
    cores = [form.parse(text).core for text in ACCEPTED[name]] * 30
    plans = [form.token_plan(core, Storage.VAULTED) for core in cores]
    for alphabet in {plan.alphabet for plan in plans}:
        of_alphabet = [plan for plan in plans if plan.alphabet == alphabet]
        before = [(plan.text, plan.kept) for plan in of_alphabet]
        tokens = run(generator, of_alphabet)
        distinct = dict(zip(before, tokens, strict=True))
        for plan in of_alphabet[: len(distinct)]:
            assert run(generator, [plan]) == [distinct[plan.text, plan.kept]]
        assert [(plan.text, plan.kept) for plan in of_alphabet] == before
    if form.check_generator(generator, Storage.VAULTLESS) is not None:
        return
    there = [form.token_plan(core, Storage.VAULTLESS) for core in cores]
    tokens = [run(generator, [plan])[0] for plan in there[: len(ACCEPTED[name])]]
    back = [run(generator, [form.value_plan(token)], back=True)[0] for token in tokens]
    assert back == cores[: len(ACCEPTED[name])]


@pytest.mark.parametrize("generator", CIPHERS)
@pytest.mark.parametrize("length", range(12, 20))
@pytest.mark.parametrize("last", [0, 4])
def test_cards_of_every_length(generator: Generator, length: int, last: int) -> None:
    form = build_format("card", min=length, keep_last=last)
    bodies = [f"{number:0{length - 1}d}" for number in (0, 10 ** (length - 1) - 1, 4111)]
    cards = [body + luhn_check_digit(body, "", 0) for body in bodies]
    if length - last - 1 < 6:
        return
    for card in cards:
        token = run(generator, [form.token_plan(card, Storage.VAULTLESS)])[0]
        assert form.parse_token(token).core == token
        assert (len(token), token[length - last :]) == (length, card[length - last :])
        assert run(generator, [form.value_plan(token)], back=True) == [card]


SMALL: list[tuple[str, OptionValues, list[str]]] = [
    ("us_ssn", {"keep_last": 4}, [f"{number:05d}6789" for number in range(10**5)]),
    (
        "card",
        {"min": 14, "keep_first": 6, "keep_last": 4},
        [
            f"411111{middle:03d}{luhn_check_digit(f'411111{middle:03d}', '1111', 0)}1111"
            for middle in range(1000)
        ],
    ),
    ("integer", {"max": 3}, [str(number) for number in range(-1000, 1000)]),
    ("decimal", {"max": 2}, [f"{n // 10}.{n % 10}" for n in range(1000)]),
    ("ipv4", {"keep_first": 3}, [f"10.1.2.{last}" for last in range(256)]),
    (
        "template",
        {"template": "{a:hex_lower:1-2}-{b:hex_lower:1}"},
        [f"{a:0{wide}x}-{b:x}" for wide in (1, 2) for a in range(16**wide) for b in range(16)],
    ),
    ("alphabet", {"alphabet": "ÄÖÜäöü", "min": 3, "max": 3}, []),
]


@pytest.mark.parametrize(("name", "options", "values"), SMALL)
@pytest.mark.parametrize("generator", CIPHERS)
def test_a_whole_small_domain_is_a_permutation(
    generator: Generator,
    name: str,
    options: OptionValues,
    values: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Under the least domain that ciphers take outside of this test.
    for module in ("ff1", "ff3_1"):
        monkeypatch.setattr(f"vault.crypto.fpe.{module}.min_length", lambda _: 2)
    form = build_format(name, **options)
    characters = str(options.get("alphabet", ""))
    cores = [form.parse(value).core for value in values] or [
        a + b + c for a in characters for b in characters for c in characters
    ]
    plans = [form.token_plan(core, Storage.VAULTLESS) for core in cores]
    key = FieldKey(b"s" * 32, "default", name, 1)
    tokens = run(generator, plans, key=key)
    assert sorted(tokens) == sorted(cores) or name == "card"
    assert len(set(tokens)) == len(cores)
    back = [form.value_plan(token) for token in tokens]
    assert run(generator, back, back=True, key=key) == cores


def token_of(field: Field, text: str) -> str:
    parsed = field.format.parse(text)
    if field.generator is Generator.RANDOM:
        drawn = field.format.random_plan(parsed.core, 0)
        core = drawn.build(random_text(drawn.alphabet, drawn.length))
    else:
        plan = field.format.token_plan(parsed.core, Storage.VAULTED)
        core = run(field.generator, [plan])[0]
    return field.format.render(core, parsed.layout)


@pytest.mark.parametrize("name", sorted(FIELDS))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data(), st.sampled_from(STRANGE), st.booleans())
def test_a_value_with_a_strange_character_is_refused_or_comes_back_as_it_was(
    name: str, data: st.DataObject, strange: str, instead: bool
) -> None:
    field = FIELDS[name]
    text = data.draw(st.sampled_from(ACCEPTED[name]))
    at = data.draw(st.integers(0, len(text) - 1))
    odd = text[:at] + strange + text[at + instead :]
    for changed in (odd, unicodedata.normalize("NFD", text), unicodedata.normalize("NFKC", odd)):
        try:
            parsed = field.format.parse(changed)
        except FormatError as error:
            assert strange not in error.message or strange in "\n"
            continue
        token = token_of(field, changed)
        token.encode()
        again = field.format.parse_token(token)
        assert field.format.render(parsed.core, again.layout) == changed


STRICT = sorted(set(FIELDS) - {"name", "name_own", "address", "note", "email", "email_kept"})


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize("strange", STRANGE.replace("\u3000", ""))
def test_formats_of_ascii_take_no_strange_character(name: str, strange: str) -> None:
    form = FIELDS[name].format
    text = ACCEPTED[name][0]
    for odd in (strange + text, text + strange, text[:3] + strange + text[4:]):
        with pytest.raises(FormatError):
            form.parse(odd)


def test_threads_share_formats_and_keys() -> None:
    jobs = [(name, text) for name, texts in ACCEPTED.items() for text in texts] * 8

    def work(job: tuple[str, str]) -> tuple[str, str]:
        name, text = job
        field = FIELDS[name]
        parsed = field.format.parse(text)
        token = token_of(field, text)
        layout = field.format.parse_token(token).layout
        shown = [view.apply(parsed.core) for view in field.views.values()]
        return token if field.generator is not Generator.RANDOM else "", "".join(
            [field.format.render(parsed.core, layout), *shown]
        )

    alone = [work(job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, jobs, chunksize=3))
    assert together == alone
