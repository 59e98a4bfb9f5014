"""Logins by a code (RFC 8628) at the development issuer, from the code to the refreshed token.

Kept in memory: a restart forgets them. Nobody proves who they are here; they say it.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["INTERVAL", "LIFETIME", "PERSON_NAME", "Approval", "DeviceLogins", "Grant", "GrantError"]

PERSON_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
INTERVAL = 1
LIFETIME = 600
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1: no vowels, so no words
_MAX_LOGINS = 100


@dataclass(frozen=True, slots=True)
class Approval:
    """Who agreed, and in which role; ``time`` in seconds since the epoch."""

    person: str
    role: str
    time: float


@dataclass(frozen=True, slots=True)
class Grant:
    """What a client gets a token for, and by what it renews it."""

    approval: Approval
    refresh_token: str = field(repr=False)


class GrantError(Exception):
    """No token, or none yet: ``code`` is RFC 6749's or RFC 8628's error."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class _Login:
    user_code: str
    ends: float
    asked: float | None = None
    approval: Approval | None = None
    denied: bool = False


class DeviceLogins:
    """The logins that wait, and the refresh tokens that are good. Threads may share it.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._logins: dict[str, _Login] = {}
        self._approvals: dict[str, Approval] = {}

    def begin(self) -> tuple[str, str]:
        """Returns a device code, for the client, and a user code, for the person."""
        letters = [secrets.choice(_LETTERS) for _ in range(8)]
        user_code = f"{''.join(letters[:4])}-{''.join(letters[4:])}"
        device_code = secrets.token_urlsafe(32)
        with self._lock:
            now = self._clock()
            self._logins = {code: each for code, each in self._logins.items() if each.ends > now}
            if len(self._logins) >= _MAX_LOGINS:
                raise GrantError("temporarily_unavailable")
            self._logins[device_code] = _Login(user_code, now + LIFETIME)
        return device_code, user_code

    def approve(self, user_code: str, person: str, role: str) -> bool:
        """Agrees to a login that waits; returns whether there is one."""
        with self._lock:
            login = self._waiting(user_code)
            if login is not None:
                login.approval = Approval(person, role, self._clock())
            return login is not None

    def deny(self, user_code: str) -> bool:
        """Refuses a login that waits; returns whether there is one."""
        with self._lock:
            login = self._waiting(user_code)
            if login is not None:
                login.denied = True
            return login is not None

    def poll(self, device_code: str) -> Grant:
        """Returns what a login came to, once. Raises GrantError."""
        with self._lock:
            now = self._clock()
            login = self._logins.get(device_code)
            if login is None or login.ends <= now:
                raise GrantError("expired_token" if login else "invalid_grant")
            too_soon = login.asked is not None and now - login.asked < INTERVAL
            login.asked = now
            if login.denied:
                raise GrantError("access_denied")
            if login.approval is None:
                raise GrantError("slow_down" if too_soon else "authorization_pending")
            del self._logins[device_code]
            return self._grant(login.approval)

    def refresh(self, refresh_token: str) -> Grant:
        """Takes a refresh token for another one. Raises GrantError; one counts once."""
        with self._lock:
            approval = self._approvals.pop(refresh_token, None)
            if approval is None:
                raise GrantError("invalid_grant")
            return self._grant(approval)

    def _grant(self, approval: Approval) -> Grant:
        refresh_token = secrets.token_urlsafe(32)
        self._approvals[refresh_token] = approval
        return Grant(approval, refresh_token)

    def _waiting(self, user_code: str) -> _Login | None:
        written = user_code.strip().upper()
        now = self._clock()
        for login in self._logins.values():
            decided = login.denied or login.approval is not None
            if login.user_code == written and not decided and login.ends > now:
                return login
        return None
