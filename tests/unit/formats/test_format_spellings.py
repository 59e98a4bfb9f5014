"""What is found as another spelling of a value, in every format that has any."""

from __future__ import annotations

import pytest

from vault.formats import HasSpellings, OptionValues, build_format
from vault.formats.catalogue.table import FORMATS

DE = {"region": "DE"}
SAME = [
    ("email", {}, ["a.b@x.org", "A.B@X.ORG", "ab@x.Org"]),
    ("email", {}, ["jürgen@büro.de", "ju\u0308rgen@BÜRO.de", "jürgen@xn--bro-hoa.de"]),
    ("email", {"domain": "kept"}, ["a@büro.de", "a@bu\u0308ro.de"]),
    ("person_name", {}, ["Zoë Ek", "Zoe\u0308 Ek", "ZOË EK", "ＺＯË Ek", "zoëek"]),
    ("person_name", {}, ["Νίκος", "ΝΊΚΟΣ"]),
    ("address", {}, ["Café 1, Ort", "CAFE\u0301 1 Ort"]),
    ("surrogate", {}, ["Bei  Zoë", " bei zoe\u0308"]),
    ("date", {"order": "dmy"}, ["03/07/2024", "3/7/2024", "3. 7. 2024"]),
    ("decimal", {}, ["1.50", "1.5", "1.500"]),
    ("decimal", {}, ["100", "100.00"]),
    ("phone", DE, ["+49 30 901820", "030 901820", "0049 30 901820", "+49 (0)30 901820"]),
]
NOT_SAME = [
    ("email", {}, "strauss@x.org", "strauß@x.org"),
    ("email", {}, "a@x.org", "a@x.com"),
    ("person_name", {}, "Zoë", "Zoe"),
    ("date", {"order": "dmy"}, "3/7/2024", "3/8/2024"),
    ("decimal", {}, "100", "1"),
    ("phone", DE, "030 901820", "+49 30 901821"),
    ("phone", {"invalid": "random"}, "030 901820", "+49 30 901820"),
]


def spelling_key_of(name: str, options: OptionValues, value: str) -> str:
    form = build_format(name, **options)
    assert isinstance(form, HasSpellings)
    return form.spelling_key(form.parse(value).core)


@pytest.mark.parametrize(("name", "options", "values"), SAME)
def test_spellings_of_one_thing_are_found_together(
    name: str, options: OptionValues, values: list[str]
) -> None:
    assert len({spelling_key_of(name, options, value) for value in values}) == 1


@pytest.mark.parametrize(("name", "options", "one", "other"), NOT_SAME)
def test_what_is_not_one_thing_is_not_found_together(
    name: str, options: OptionValues, one: str, other: str
) -> None:
    assert spelling_key_of(name, options, one) != spelling_key_of(name, options, other)


def test_no_format_was_forgotten() -> None:
    """A format whose values have one core in all their spellings needs no identity."""
    one_core = {
        *("alphabet", "template", "card", "iban", "us_routing", "us_ssn", "us_itin", "vin"),
        *("integer", "uuid", "ipv4", "postcode", "document_number"),
    }
    with_several = {name for name, *_ in SAME}
    assert one_core | with_several == set(FORMATS)
    assert not one_core & with_several
