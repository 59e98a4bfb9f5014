"""Views: what stays readable, and that the rest does not."""

from __future__ import annotations

import pytest

from vault.formats import HasParts, OptionValues, build_format
from vault.policy.views import View

IBAN_SHOWN = "GB** **** **** **** **** **"


@pytest.mark.parametrize(
    ("view", "core", "shown"),
    [
        (View(show_last=4), "4111111111111111", "************1111"),
        (View(show_first=6), "4111111111111111", "411111**********"),
        (View(show_first=2, show_last=2, mask="#"), "abcdefgh", "ab####gh"),
        (View(show_last=4), "12345678", "****5678"),
        (View(show_last=4), "1234567", "*******"),
        (View(show_last=4), "123", "***"),
        (View(show_first=6, show_last=4), "4111111111111111", "411111******1111"),
        (View(show_first=6, show_last=4), "378282246310005", "378282*****0005"),
        (View(show_first=6, show_last=4), "36227206271667", "*" * 14),
        (View(show_last=7), "123456789012", "*" * 12),
        (View(show_first=1), "李小龍", "李**"),
        (View(), "abc", "***"),
        (View(show_last=4), "", ""),
    ],
)
def test_a_view_masks_all_but_its_ends(view: View, core: str, shown: str) -> None:
    assert view.apply(core) == shown


@pytest.mark.parametrize(
    ("name", "options", "parts", "value", "shown"),
    [
        ("email", {}, ("domain",), "Bob.Ross@Paint.org", "***.****@Paint.org"),
        ("email", {}, ("local",), "Bob.Ross@Paint.org", "Bob.Ross**********"),
        ("date", {}, ("year",), "2024-02-29", "2024-**-**"),
        ("date", {"order": "mdy"}, ("year",), "2/9/2024", "**/**/2024"),
        ("date", {"order": "mdy"}, ("month", "year"), "2/9/2024", "2/**/2024"),
        ("phone", {}, ("country",), "+353 1 234 5678", "+353 * *** ****"),
        ("phone", {"region": "US"}, ("country",), "(212) 555-2671", "(***) ***-****"),
        ("iban", {}, ("country",), "GB82 WEST 1234 5698 7654 32", IBAN_SHOWN),
        ("postcode", {"region": "GB"}, ("area",), "SW1A 1AA", "SW1A ***"),
        ("ipv4", {}, ("network",), "192.168.10.77", "192.168.*****"),
        ("vin", {}, ("maker",), "1M8GDM9AXKP042788", "1M8**************"),
        (
            "template",
            {"template": "AC-{branch:digits:4}[ ]{serial:digits:6}"},
            ("branch",),
            "AC-1234 567890",
            "***1234 ******",
        ),
    ],
)
def test_a_view_of_parts_masks_all_else(
    name: str, options: OptionValues, parts: tuple[str, ...], value: str, shown: str
) -> None:
    form = build_format(name, **options)
    has_parts: object = form
    assert isinstance(has_parts, HasParts)
    parsed = form.parse(value)
    core = View(parts=parts, form=has_parts).apply(parsed.core)
    assert form.render(core, parsed.layout) == shown


def test_parts_without_a_format_show_nothing() -> None:
    assert View(parts=("year",)).apply("20240229") == "********"
