"""Views: what stays readable, and that the rest does not."""

from __future__ import annotations

import pytest

from vault.policy.views import View


@pytest.mark.parametrize(
    ("view", "core", "shown"),
    [
        (View(show_last=4), "4111111111111111", "************1111"),
        (View(show_first=6), "4111111111111111", "411111**********"),
        (View(show_first=2, show_last=2, mask="#"), "abcdefgh", "ab####gh"),
        (View(show_last=4), "12345678", "****5678"),
        (View(show_last=4), "1234567", "*******"),
        (View(show_last=4), "123", "***"),
        (View(show_first=1), "李小龍", "李**"),
        (View(), "abc", "***"),
        (View(show_last=4), "", ""),
    ],
)
def test_a_view_masks_all_but_its_ends(view: View, core: str, shown: str) -> None:
    assert view.apply(core) == shown
