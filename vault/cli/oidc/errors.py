"""A login that failed, for whoever sits at the terminal. Never quotes a code or a token."""

from __future__ import annotations

from enum import Enum

__all__ = ["LoginError", "LoginFailure"]


class LoginFailure(Enum):
    """Why: it decides the exit code."""

    REFUSED = "refused"
    """The person or the issuer said no."""
    UNAVAILABLE = "unavailable"
    """The issuer could not be reached, or did not answer as it should."""
    USAGE = "usage"
    """Something must be set up or written otherwise."""


class LoginError(Exception):
    """A login, or the renewal of one, did not come to a token.

    Attributes:
        message: what was wrong and what to do next.
    """

    def __init__(self, failure: LoginFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
