from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from vault.keys.lease import FOREVER, Lease, backoff, next_step

jitters = st.floats(0, 1)


def test_sleeps_about_two_thirds_of_what_remains() -> None:
    step = next_step(Lease.granted(3600, renewable=True, now=100.0), 100.0, 0.0)
    assert not step.login
    assert 2400 <= step.delay <= 2400 + 3600 * 0.2 / 3


@given(st.integers(1, 10**7), jitters)
def test_never_sleeps_past_the_end(seconds: int, jitter: float) -> None:
    lease = Lease.granted(seconds, renewable=True, now=0.0)
    assert next_step(lease, 0.0, jitter).delay < seconds


@given(st.integers(1, 10**7), jitters)
def test_ends_in_a_login_when_every_renewal_fails(seconds: int, jitter: float) -> None:
    lease, now = Lease.granted(seconds, renewable=True, now=0.0), 0.0
    steps = 0
    while not (step := next_step(lease, now, jitter)).login:
        now += step.delay
        steps += 1
        assert steps < 20
    assert now < lease.ends


def test_what_cannot_be_renewed_is_replaced() -> None:
    assert next_step(Lease.granted(60, renewable=False, now=0.0), 0.0, 0.5).login


def test_an_endless_login_is_left_alone() -> None:
    step = next_step(Lease.granted(FOREVER, renewable=False, now=0.0), 1e9, 0.5)
    assert step == (step.__class__(FOREVER, login=False))


def test_a_renewal_that_extends_is_renewed_again() -> None:
    lease = Lease.granted(60, renewable=True, now=0.0)
    assert lease.renewed(60, renewable=True, now=40.0) == Lease(60, 100.0, True)


def test_a_renewal_that_no_longer_extends_ends_in_a_login() -> None:
    lease = Lease.granted(60, renewable=True, now=0.0)
    assert not lease.renewed(20, renewable=True, now=40.0).renewable
    # The login nears its longest life: a renewal adds, but less than it used to.
    assert not lease.renewed(59, renewable=True, now=50.0).renewable
    assert not lease.renewed(60, renewable=False, now=50.0).renewable


def test_retries_double_and_are_bounded() -> None:
    delays = [backoff(failures, 1.0) for failures in range(1, 12)]
    assert delays == sorted(delays)
    assert delays[:3] == [0.5, 1.0, 2.0]
    assert max(delays) == 10.0
    assert backoff(10_000, 0.0) == 5.0


def test_remaining_is_never_negative() -> None:
    assert Lease.granted(5, renewable=True, now=0.0).remaining(9.0) == 0.0
    assert math.isinf(Lease.granted(FOREVER, renewable=True, now=0.0).remaining(9.0))
