"""Format options and views of parts, from the file to the format."""

from __future__ import annotations

import pytest

from vault.model import Generator, Storage
from vault.policy.model import Field
from vault.policy.reading.load import InvalidPolicy, Problem, parse_policy


def load(body: str) -> Field:
    return parse_policy(f"version: 1\nfields:\n  f: {{{body}}}\n", "policy.yaml").fields["f"]


def problem(body: str) -> Problem:
    with pytest.raises(InvalidPolicy) as caught:
        load(body)
    assert len(caught.value.problems) == 1, caught.value.problems
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (
            "format: phone, region: US, min: 7, generator: ff1",
            {"international_prefix": "011", "rules": 2},
        ),
        ("format: phone, region: 'NO', invalid: random, generator: random", {}),
        (
            "format: date, order: dmy, earliest: '1900-01-01', generator: ff1",
            {"order": "dmy", "earliest": "1900-01-01", "latest": "4637-11-27"},
        ),
        ("format: date, latest: '1999-12-31', generator: random", {"latest": "1999-12-31"}),
        ("format: uuid, case: lower, generator: ff1, storage: vaultless", {"case": "lower"}),
        ("format: ipv4, keep: {first: 1}, generator: ff1", {"keep_first": 1}),
        ("format: integer, max: 9, generator: ff1, storage: vaultless", {"max": 9}),
        ("format: decimal, generator: ff3-1", {"max": 12}),
        ("format: postcode, region: GB, generator: random", {"region": "GB"}),
        ("format: document_number, min: 8, generator: random", {}),
        ("format: iban, countries: [DE, FR], generator: ff3-1", {}),
        ("format: iban, token_check: valid, generator: ff1", {"token_check": "valid"}),
        ("format: us_routing, generator: ff1", {"token_check": "invalid"}),
        ("format: us_itin, generator: ff1", {}),
        ("format: vin, token_check: invalid, generator: ff1", {"token_check": "invalid"}),
        ("format: us_ssn, token_check: invalid, generator: random", {"never_issued": True}),
        ("format: address, generator: random", {"rules": 2}),
        ("format: person_name, script: own, generator: random", {"script": "own", "rules": 2}),
        ("format: email, domain: drawn, generator: random", {"domain": "drawn"}),
        ("format: surrogate, label: PERSON, generator: random", {"label": "PERSON"}),
        ("format: {template: 'A-{n:digits:8}'}, generator: ff1, storage: vaultless", {}),
    ],
)
def test_options_reach_the_format(body: str, shape: dict[str, str | int | bool]) -> None:
    made = load(body).format.token_spec()
    assert made["rules"] == shape.get("rules", 1)
    assert shape.items() <= made.items()


def test_a_template_is_a_format_of_its_own() -> None:
    field = load(
        "format: {template: '{area:digits:3}-{serial:digits:6}'}, generator: ff1, "
        "views: {area_only: {show: [area], mask: '#'}}"
    )
    assert field.format_name == "template"
    assert field.views["area_only"].apply("123-456789") == "123#######"
    assert field.format.effective_domain(Generator.FF1, Storage.VAULTED) == 10**9


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ("format: phone, region: NO, generator: ff1", "region", "put it in quotes"),
        ("format: phone, region: USA, generator: ff1", "region", "two-letter"),
        ("format: phone, min: 5, generator: ff1", "generator", "only 100,000 tokens"),
        ("format: phone, generator: ff3-1", "generator", "ff3-1"),
        ("format: phone, invalid: random, generator: ff1", "generator", "generator random"),
        ("format: phone, invalid: pass, generator: ff1", "invalid", "refuse"),
        ("format: card, region: US, generator: ff1", "region", "no option region"),
        ("format: date, earliest: 1900-01-01, generator: ff1", "earliest", "put it in quotes"),
        ("format: date, latest: '1999-12-31', generator: ff1", "generator", "1,000,000 days"),
        ("format: date, generator: random, storage: vaultless", "storage", "vaulted"),
        ("format: date, generator: ff1, storage: vaultless", "storage", "vaulted"),
        ("format: date, order: ydm, generator: random", "order", "ymd"),
        ("format: uuid, generator: ff1, storage: vaultless", "generator", "set case"),
        ("format: uuid, case: mixed, generator: ff1", "case", "lower"),
        ("format: ipv4, keep: {first: 2}, generator: ff1", "generator", "only 65,536 tokens"),
        ("format: integer, max: 5, generator: ff1", "generator", "only 100,000 tokens"),
        ("format: postcode, region: US, generator: ff1", "generator", "random"),
        ("format: postcode, generator: random", "format", "US, CA, GB"),
        ("format: iban, countries: [DE, XX], generator: ff1", "countries", "two-letter"),
        ("format: iban, countries: [], generator: ff1", "countries", "empty list"),
        ("format: us_ssn, token_check: invalid, generator: ff1", "generator", "random"),
        ("format: email, domain: gone, generator: random", "domain", "drawn"),
        ("format: person_name, script: all, generator: random", "script", "own"),
        ("format: surrogate, label: x, generator: random", "label", "capital"),
        ("format: {template: 'x'}, generator: ff1", "format.template", "no group"),
        ("format: {template: '{n:digits:8}', min: 3}, generator: ff1", "format.min", "unknown"),
        ("format: template, generator: ff1", "format", "write the template"),
        (
            "format: {template: '{a:upper:5}{b:digits:6}'}, generator: ff1",
            "generator",
            "one alphabet",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(body: str, path: str, message: str) -> None:
    found = problem(body)
    assert found.path == f"fields.f.{path}"
    assert message in found.message


@pytest.mark.parametrize(
    ("view", "path", "message"),
    [
        ("{show: [yaer]}", "show[0]", "did you mean 'year'"),
        ("{show: []}", "show", "empty list"),
        ("{show: year}", "show", "must be a list"),
        ("{show: [day, month, year]}", "show", "every part"),
        ("{show: [year], show_last: 2}", "show", "stands alone"),
        ("{show: [year], mask: x}", "mask", "neither a letter"),
    ],
)
def test_a_view_of_parts_that_cannot_be_is_refused(view: str, path: str, message: str) -> None:
    found = problem(f"format: date, generator: random, views: {{v: {view}}}")
    assert found.path == f"fields.f.views.v.{path}"
    assert message in found.message


def test_a_format_without_parts_has_no_view_of_them() -> None:
    found = problem("format: card, generator: ff1, views: {v: {show: [bank]}}")
    assert "it has none" in found.message
