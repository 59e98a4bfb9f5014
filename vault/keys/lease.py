"""When a login to the key server is renewed, and when it is replaced.

The rule is that of OpenBao's ``api/lifetime_watcher.go``: sleep two thirds of what
remains; when a renewal no longer extends, log in again; failed renewals are only
repeated until little remains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["FOREVER", "Lease", "Step", "backoff", "next_step"]

FOREVER = math.inf
_GRACE = 0.1
_SHORTEST = 0.05
_FIRST_RETRY = 0.5
# Also how long the service stays without keys after the key server has come back.
_LONGEST_RETRY = 10.0


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a login lasts.

    Attributes:
        duration: seconds it was granted for; ``FOREVER`` for a token without an end.
        ends: when it ends, on the monotonic clock.
        renewable: whether a renewal may still extend it.
    """

    duration: float
    ends: float
    renewable: bool

    @classmethod
    def granted(cls, seconds: float, *, renewable: bool, now: float) -> Lease:
        """Makes a lease of that many seconds from now."""
        return cls(seconds, now + seconds, renewable)

    def remaining(self, now: float) -> float:
        """Seconds that are left, not below zero."""
        return max(0.0, self.ends - now)

    def renewed(self, seconds: float, *, renewable: bool, now: float) -> Lease:
        """Returns the lease after a renewal.

        One that grants less than before is capped by the login's longest life: a lease
        that is not renewed again.
        """
        fresh = Lease.granted(seconds, renewable=renewable, now=now)
        extends = fresh.ends > self.ends and fresh.duration >= self.duration
        return Lease(fresh.duration, fresh.ends, renewable and extends)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: wait ``delay`` seconds, then log in again or renew."""

    delay: float
    login: bool


def next_step(lease: Lease, now: float, jitter: float) -> Step:
    """Returns what to do next with a lease; ``jitter`` is random, from 0 to 1.

    Jitter keeps replicas that started together from coming back together.
    """
    if lease.duration == FOREVER:
        return Step(FOREVER, login=False)
    grace = lease.duration * _GRACE * (1 + jitter)
    remaining = lease.remaining(now)
    if remaining <= grace:
        return Step(0.0, login=True)
    delay = max(_SHORTEST, remaining * 2 / 3 + grace / 3)
    # What cannot be renewed is left at two thirds too: the rest is time for retries.
    return Step(min(delay, remaining - grace / 2), login=not lease.renewable)


def backoff(failures: int, jitter: float) -> float:
    """Returns the pause after that many failures in a row: doubling, bounded, with jitter."""
    return min(_LONGEST_RETRY, _FIRST_RETRY * 2.0 ** min(failures - 1, 10)) * (0.5 + jitter / 2)
