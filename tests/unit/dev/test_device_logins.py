"""Logins by a code at the development issuer."""

from __future__ import annotations

import html
from dataclasses import dataclass

import pytest

from vault.dev.device_logins import LIFETIME, PERSON_NAME, Approval, DeviceLogins, GrantError
from vault.dev.issuer_page import done_page, form_page


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> DeviceLogins:
    return DeviceLogins(clock)


def refused(logins: DeviceLogins, device_code: str) -> str:
    with pytest.raises(GrantError) as caught:
        logins.poll(device_code)
    return caught.value.code


def test_a_login_is_granted_once_it_is_approved_and_once(
    logins: DeviceLogins, clock: Clock
) -> None:
    device, user = logins.begin()
    assert refused(logins, device) == "authorization_pending"
    assert refused(logins, device) == "slow_down"
    clock.now += 1
    assert logins.approve(f" {user.lower()} ", "alice", "fraud_analyst")
    grant = logins.poll(device)
    assert grant.approval == Approval("alice", "fraud_analyst", 1001.0)
    assert grant.refresh_token not in repr(grant)
    assert refused(logins, device) == "invalid_grant"


def test_one_that_is_denied_or_too_old_is_not(logins: DeviceLogins, clock: Clock) -> None:
    device, user = logins.begin()
    assert logins.deny(user)
    assert not logins.approve(user, "alice", "auditor")
    assert refused(logins, device) == "access_denied"
    device, user = logins.begin()
    clock.now += LIFETIME
    assert not logins.approve(user, "alice", "auditor")
    assert refused(logins, device) == "expired_token"


def test_no_code_leads_to_anothers_login(logins: DeviceLogins) -> None:
    (device, user), (_, other) = logins.begin(), logins.begin()
    assert logins.approve(other, "bob", "auditor")
    assert refused(logins, device) == "authorization_pending"
    assert refused(logins, user) == "invalid_grant"
    assert not logins.approve("", "bob", "auditor")


def test_a_refresh_token_counts_once(logins: DeviceLogins) -> None:
    device, user = logins.begin()
    logins.approve(user, "alice", "auditor")
    first = logins.poll(device)
    second = logins.refresh(first.refresh_token)
    assert second.approval == first.approval
    with pytest.raises(GrantError, match="invalid_grant"):
        logins.refresh(first.refresh_token)
    assert logins.refresh(second.refresh_token).approval == first.approval


def test_logins_that_wait_are_bounded(logins: DeviceLogins, clock: Clock) -> None:
    for _ in range(100):
        logins.begin()
    with pytest.raises(GrantError, match="temporarily_unavailable"):
        logins.begin()
    clock.now += LIFETIME
    assert logins.begin()


@pytest.mark.parametrize("name", ["", "Alice", "a b", "é", "-a", "a" * 65, "a\n", "a@b"])
def test_what_is_no_name(name: str) -> None:
    assert not PERSON_NAME.fullmatch(name)


def test_what_was_typed_is_text_on_the_page() -> None:
    hostile = '"><script>alert(1)</script>'
    for page in (
        form_page([hostile], code=hostile, person=hostile, problem=hostile),
        done_page(hostile),
    ):
        assert hostile not in page
        assert html.escape(hostile) in page
