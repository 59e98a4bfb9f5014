"""Field names of data that nobody may keep."""

from __future__ import annotations

import pytest

from vault.policy.forbidden import forbidden_data


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cvv", "verification"),
        ("cvv2", "verification"),
        ("cvc", "verification"),
        ("card_cvc2", "verification"),
        ("cvvcode", "verification"),
        ("cc_cid", "verification"),
        ("card_security_code", "verification"),
        ("card_verification_value", "verification"),
        ("pin", "PIN"),
        ("pin1", "PIN"),
        ("debit_pin", "PIN"),
        ("pin_block", "PIN"),
        ("pinblock", "PIN"),
        ("encrypted_pin_block2", "PIN"),
        ("track1", "track"),
        ("track_2", "track"),
        ("track2_data", "track"),
        ("card_track_data", "track"),
        ("mag_stripe", "track"),
        ("magstripe", "track"),
    ],
)
def test_sensitive_authentication_data_is_recognised(name: str, kind: str) -> None:
    found = forbidden_data(name)
    assert found is not None
    assert kind in found


@pytest.mark.parametrize(
    "name",
    [
        "card_number",
        "shipping",
        "pinterest_handle",
        "spinning_class",
        "soundtrack",
        "track_id",
        "track",
        "backtrack1",
        "customer_cid",
        "security_code",
        "post_code",
        "email",
    ],
)
def test_names_that_only_look_alike_are_not(name: str) -> None:
    assert forbidden_data(name) is None
