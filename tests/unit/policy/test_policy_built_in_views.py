"""Views that need no definition, views that format groups, and the field's mask."""

from __future__ import annotations

import pytest

from vault.errors import PolicyError
from vault.formats import FORMATS, HasWords, OptionValues, build_format
from vault.policy.model import Field
from vault.policy.reading.load import parse_policy
from vault.policy.views import View, built_in_views

OPTIONS: dict[str, OptionValues] = {
    "alphabet": {"alphabet": "digits", "min": 6},
    "postcode": {"region": "GB"},
    "template": {"template": "AC-{branch:digits:4}[ ]{serial:digits:6}"},
}


def field(text: str) -> Field:
    return parse_policy(f"version: 1\nfields:\n  f: {{{text}}}\n", "p").fields["f"]


def shown(of: Field, view: str, value: str, token_form: str = "") -> str:
    """What a view answers for a value, in the layout of the token presented."""
    parsed = of.format.parse(value)
    layout = of.format.parse_token(token_form).layout if token_form else parsed.layout
    return of.format.render(of.views[view].apply(parsed.core), layout)


@pytest.mark.parametrize(
    ("text", "view", "value", "answer"),
    [
        ("format: card", "last4", "4111-1111 1111 1111", "****-**** **** 1111"),
        ("format: card", "first6_last4", "4111 1111 1111 1111", "4111 11** **** 1111"),
        ("format: card, mask: '•'", "last4", "4111111111111111", "••••••••••••1111"),
        ("format: us_ssn", "last4", "123-45-6789", "***-**-6789"),
        ("format: us_itin", "last4", "900-70-1234", "***-**-1234"),
        ("format: us_routing", "last4", "021000021", "*****0021"),
        ("format: iban", "last4", "DE89 3704 0044 0532 0130 00", "**** **** **** **** **30 00"),
        (
            "format: iban",
            "country_only",
            "de89 3704 0044 0532 0130 00",
            "de** **** **** **** **** **",
        ),
        ("format: phone", "country_only", "+49 30 901820", "+49 ** ******"),
        ("format: phone", "last4", "+49 (30) 901820", "*** (**) **1820"),
        ("format: vin", "last4", "1M8GDM9AXKP042788", "*************2788"),
        ("format: document_number", "last4", "C01X-00T47", "****-*0T47"),
        ("format: {alphabet: digits, min: 8}", "last4", "1234-5678", "****-5678"),
        ("format: {alphabet: digits, min: 6}", "last4", "123456", "******"),
        ("format: email", "domain_only", "Bob.Ross@Paint.org", "***.****@Paint.org"),
        ("format: date", "year_only", "1982-03-29", "1982-**-**"),
        ("format: date, order: dmy", "year_only", "29. 3. 1982", "**. **. 1982"),
        ("format: person_name", "initials", "Ivan Martin", "I*** M*****"),
        ("format: person_name", "initials", "Anne-Marie O'Neal, Jr.", "A***-M**** O'N***, J*."),
        ("format: person_name", "initials", "Li Wu", "L* W*"),
        ("format: person_name", "initials", "J. R. Ek", "*. *. **"),
        ("format: person_name", "initials", "O", "*"),
        ("format: person_name", "initials", "李小龍", "李**"),
        ("format: person_name", "initials", "Zoe\u0308 Ek", "Z*** E*"),
        ("format: person_name, mask: _", "masked", "Ivan Martin", "____ ______"),
        ("format: address", "masked", "1 Main St.", "* **** **."),
        (
            "format: uuid",
            "masked",
            "6781b04d-7b5f-4c1a-bceb-b953e6ef70d7",
            "********-****-****-****-************",
        ),
    ],
)
def test_a_format_brings_its_views(text: str, view: str, value: str, answer: str) -> None:
    assert shown(field(f"{text}, generator: random"), view, value) == answer


def test_who_moves_a_tokens_separators_sees_no_other_letters() -> None:
    name = field("format: person_name, generator: random")
    assert shown(name, "initials", "Ivan Martin", "Q-w-e-r-t-z-u-i-o-p") == "I-*-*-*-m-*-*-*-*-*"
    ends = field(
        "format: person_name, generator: random, views: {f: {show_first: 2}, i: {show: [initials]}}"
    )
    assert shown(ends, "f", "Ivan Martin") == "Iv** ******"
    assert shown(ends, "i", "Ivan Martin") == "I*** M*****"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_field_can_be_masked_whole(name: str) -> None:
    views = built_in_views(build_format(name, **OPTIONS.get(name, {})), "#")
    assert views["masked"].apply("abcdef") == "######"
    assert all(view.mask == "#" for view in views.values())


def test_a_definition_takes_the_place_of_what_is_built_in() -> None:
    own = field(
        "format: card, generator: random, mask: x, views: {last4: {show_last: 2}}".replace(
            ": x", ": '#'"
        )
    )
    assert own.views["last4"] == View(show_last=2, mask="#")
    plain = field("format: card, generator: random")
    assert own.token_spec == plain.token_spec


TEMPLATE = 'format: {template: "AC-{branch:digits:4}[ -]{serial:digits:6}/{kind:upper:2:keep}"}'


@pytest.mark.parametrize(
    ("write", "answer"),
    [
        ("{serial}", "567890"),
        ("{kind} ***{serial}", "XY ***567890"),
        ("{kind}-{branch}-{kind}", "XY-1234-XY"),
    ],
)
def test_a_view_writes_groups_of_a_template(write: str, answer: str) -> None:
    made = field(f'{TEMPLATE}, generator: ff1, views: {{v: {{write: "{write}"}}}}')
    assert made.views["v"].apply(made.format.parse("AC-1234-567890/XY").core) == answer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{write: "{serail}"}', "did you mean 'serial'"),
        ('{write: "AC"}', "names no group"),
        ('{write: "{serial} {branch} {kind}"}', "every part"),
        ('{write: "{serial"}', "names no group"),
        ('{write: "{serial}{"}', "visible text"),
        ('{write: "{serial}\\n"}', "visible text"),
        ('{write: "{serial}", mask: "#"}', "nothing else"),
    ],
)
def test_a_view_that_cannot_be_written_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        field(f"{TEMPLATE}, generator: ff1, views: {{v: {text}}}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: card, generator: random, views: {v: {write: '{x}'}}", "use 'show'"),
        ("format: card, generator: random, mask: X", "neither a letter"),
        ("format: card, generator: random, mask: '**'", "neither a letter"),
        ("format: person_name, generator: random, views: {v: {show: [initial]}}", "'initials'"),
        ("format: card, generator: random, views: {v: {mask: '#'}}", "grant the view masked"),
    ],
)
def test_what_fits_no_format_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        field(text)


def test_words_are_told_by_the_value_alone() -> None:
    form: object = build_format("person_name")
    assert isinstance(form, HasWords)
    assert form.words("") == [""]
