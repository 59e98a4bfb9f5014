"""Exit codes, and one line for each thing that can go wrong."""

from __future__ import annotations

import traceback
from enum import IntEnum
from pathlib import Path

from vault.bulk import CsvError, RejectedError
from vault.cli.oidc.errors import LoginError, LoginFailure
from vault.cli.printable import one_line
from vault.client import CallError
from vault.client.transport import Contact
from vault.errors import SetupError, TokenvaultError, for_operators

__all__ = ["ExitCode", "describe_failure"]

_REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
_INVALID = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE"}
_USED_UP = {"LIMIT_EXCEEDED", "BUDGET_EXHAUSTED"}
_AWAY = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
# Something answered, so the address is right: the message says what is in the way.
_NOT_NOW = "the service cannot answer now"
_AWAY_WORDS = {
    "STORE_UNAVAILABLE": "the service runs, and its database is in trouble",
    "AUDIT_UNAVAILABLE": "the service runs, and its audit cannot be written",
    "KEYS_UNAVAILABLE": "the service runs, and has no keys",
    "OVERLOADED": "the service is busy",
    "DEADLINE_EXCEEDED": "there was no answer in time",
}


class ExitCode(IntEnum):
    """What the command ends with. Scripts may rely on it."""

    OK = 0
    FOUND = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4
    INTERNAL = 5
    INTERRUPTED = 130
    UNREAD = 141


_LOGIN_EXITS = {
    LoginFailure.REFUSED: ExitCode.REFUSED,
    LoginFailure.UNAVAILABLE: ExitCode.UNAVAILABLE,
    LoginFailure.USAGE: ExitCode.USAGE,
}


def describe_failure(error: Exception) -> tuple[str, ExitCode]:
    """Returns the message for the user and the exit code. Never a value."""
    if isinstance(error, CallError):
        return _describe_call(error)
    if isinstance(error, RejectedError):
        return f"{one_line(error.message)}\nnothing was written", ExitCode.FOUND
    if isinstance(error, CsvError):
        return error.message, ExitCode.USAGE
    if isinstance(error, LoginError):
        return one_line(error.message), _LOGIN_EXITS[error.failure]
    if isinstance(error, SetupError):
        return error.message, ExitCode.USAGE
    if isinstance(error, TokenvaultError):
        code = ExitCode.UNAVAILABLE if error.retryable else ExitCode.INTERNAL
        return f"{error.reason}: {for_operators(error)}", code
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        line = f"{error.filename}: {what}" if error.filename else what
        return one_line(line), ExitCode.USAGE
    return _describe_bug(error), ExitCode.INTERNAL


def _describe_call(error: CallError) -> tuple[str, ExitCode]:
    line = one_line(f"{error.reason}: {error.message}")
    about = list(getattr(error, "__notes__", ())) if error.code in _REFUSED | _INVALID else []
    if error.request_id:
        about.append(f"request {error.request_id}")
    if about:
        line += f" ({', '.join(map(one_line, about))})"
    if error.reason == "DENIED" and len(about) > 1:
        line += "; `tokenvault policy explain` says why"
    if error.code in _REFUSED or error.reason in _USED_UP:
        return f"the service refused: {line}", ExitCode.REFUSED
    if error.code in _INVALID:
        return f"the service cannot do this: {line}", ExitCode.USAGE
    if error.reason == "UNAVAILABLE" and not error.request_id:
        nobody = error.contact is Contact.NO_ANSWER
        hint = "; check that it runs at this address" if nobody else ""
        return f"the service is unavailable: {line}{hint}", ExitCode.UNAVAILABLE
    if error.retryable or error.code in _AWAY:
        return f"{_AWAY_WORDS.get(error.reason, _NOT_NOW)}: {line}", ExitCode.UNAVAILABLE
    return f"the service failed: {line}", ExitCode.INTERNAL


def _describe_bug(error: Exception) -> str:
    # An unforeseen exception's text may quote a value: its type and place have to do.
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    return f"internal error: {type(error).__name__} at {place}; please report it"
