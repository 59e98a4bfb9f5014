"""The error tree, and the reasons that callers may rely on.

Every message here may leave the process: none carries a value, a token or a key.
Three roots, by who can correct the fault: ``RequestError`` (the caller), ``Unavailable``
(the operator, or time), ``SetupError`` (the operator, before the server serves).
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AuditUnavailable",
    "BudgetExhausted",
    "BudgetInvalid",
    "ConfigError",
    "DecryptionFailed",
    "Denied",
    "ExplainedError",
    "FieldNotFound",
    "FormatError",
    "InvalidRequest",
    "KeysUnavailable",
    "LimitExceeded",
    "PolicyError",
    "Reason",
    "RequestError",
    "SetupError",
    "StoreUnavailable",
    "TokenvaultError",
    "Unauthenticated",
    "Unavailable",
    "for_operators",
]


class Reason(StrEnum):
    """Why an item or a call failed. Stable: clients branch on these names."""

    VALUE_NOT_IN_FORMAT = "VALUE_NOT_IN_FORMAT"
    VALUE_TOO_SHORT = "VALUE_TOO_SHORT"
    VALUE_TOO_LONG = "VALUE_TOO_LONG"
    FIELD_NOT_FOUND = "FIELD_NOT_FOUND"
    TOKEN_NOT_FOUND = "TOKEN_NOT_FOUND"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    TOKEN_ERASED = "TOKEN_ERASED"
    DECRYPTION_FAILED = "DECRYPTION_FAILED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    DENIED = "DENIED"
    OUTSIDE_NETWORKS = "OUTSIDE_NETWORKS"
    OUTSIDE_HOURS = "OUTSIDE_HOURS"
    PURPOSE_REQUIRED = "PURPOSE_REQUIRED"
    PURPOSE_NOT_ALLOWED = "PURPOSE_NOT_ALLOWED"
    TICKET_REQUIRED = "TICKET_REQUIRED"
    TICKET_NOT_ALLOWED = "TICKET_NOT_ALLOWED"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    GRANT_INVALID = "GRANT_INVALID"
    GRANT_EXPIRED = "GRANT_EXPIRED"
    GRANT_REVOKED = "GRANT_REVOKED"
    GRANT_EXHAUSTED = "GRANT_EXHAUSTED"
    REVEAL_NOT_FOUND = "REVEAL_NOT_FOUND"
    REVEAL_CLOSED = "REVEAL_CLOSED"
    SELF_APPROVAL = "SELF_APPROVAL"
    SAME_GROUP = "SAME_GROUP"
    ALREADY_DECIDED = "ALREADY_DECIDED"
    PERSON_REQUIRED = "PERSON_REQUIRED"
    BREAK_GLASS_NOT_ALLOWED = "BREAK_GLASS_NOT_ALLOWED"
    REVIEW_REQUIRED = "REVIEW_REQUIRED"
    PRINCIPAL_FROZEN = "PRINCIPAL_FROZEN"
    FREEZE_NOT_FOUND = "FREEZE_NOT_FOUND"
    SELF_UNFREEZE = "SELF_UNFREEZE"
    HONEY_SET_NOT_FOUND = "HONEY_SET_NOT_FOUND"
    INVALID_REQUEST = "INVALID_REQUEST"
    BATCH_EMPTY = "BATCH_EMPTY"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    BUDGET_INVALID = "BUDGET_INVALID"
    FORMAT_SPACE_EXHAUSTED = "FORMAT_SPACE_EXHAUSTED"
    KEYS_UNAVAILABLE = "KEYS_UNAVAILABLE"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"


class TokenvaultError(Exception):
    """Root of everything Tokenvault raises on purpose.

    Attributes:
        reason: stable reason, one of ``Reason``.
        message: what was wrong and what to do next; never a value.
        retryable: whether the same call may succeed later, unchanged.
    """

    reason: Reason = Reason.INTERNAL
    retryable: bool = False

    def __init__(self, message: str, *, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class ExplainedError(Exception):
    """A driver's error in our own words, which may be shown.

    Attributes:
        where: addresses, role and database, for operators.
    """

    where: str = ""


def for_operators(error: TokenvaultError) -> str:
    """Returns an error's message, and where it happened if it says so."""
    where = error.where if isinstance(error, StoreUnavailable) else ""
    return f"{error.message} ({where})" if where else error.message


class RequestError(TokenvaultError):
    """The caller can correct it.

    Attributes:
        on_denied: what the caller's rule answers in place of it, item by item: ``token``,
            ``mask``, or ``error``, which is nothing.
    """

    reason = Reason.INVALID_REQUEST
    on_denied: str = "error"


class InvalidRequest(RequestError):
    """The request as a whole is malformed: batch empty, too large, a name missing."""


class FormatError(RequestError):
    """A value is not of its field's format. The message never quotes the value."""

    reason = Reason.VALUE_NOT_IN_FORMAT


class FieldNotFound(RequestError):
    """The policy has no field of that name."""

    reason = Reason.FIELD_NOT_FOUND


class DecryptionFailed(RequestError):
    """A ciphertext does not open: one opaque failure, whatever the cause."""

    reason = Reason.DECRYPTION_FAILED

    def __init__(self) -> None:
        super().__init__("decryption failed")


class Unauthenticated(RequestError):
    """The caller has no valid identity."""

    reason = Reason.UNAUTHENTICATED


class Denied(RequestError):
    """The policy does not allow the call."""

    reason = Reason.DENIED


class LimitExceeded(RequestError):
    """The caller has used up its quota for this window of time.

    Attributes:
        retry_after: seconds until the window ends, or None where no window is long enough.
    """

    reason = Reason.LIMIT_EXCEEDED

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.retryable = retry_after is not None


class BudgetExhausted(LimitExceeded):
    """The caller's budget does not leave enough for the call.

    Attributes:
        left: values that it does leave.
    """

    reason = Reason.BUDGET_EXHAUSTED

    def __init__(self, message: str, left: int, *, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.left = left


class BudgetInvalid(TokenvaultError):
    """What the database says was used of a budget is not what a server wrote."""

    reason = Reason.BUDGET_INVALID

    def __init__(self) -> None:
        super().__init__(
            "the counter of this budget is not to be believed: its operators must look at it"
        )


class Unavailable(TokenvaultError):
    """Something that the service needs is unavailable; the same call may succeed later."""

    retryable = True


class KeysUnavailable(Unavailable):
    """No usable key: the key server is unavailable and the keys in memory have expired."""

    reason = Reason.KEYS_UNAVAILABLE


class StoreUnavailable(Unavailable):
    """Postgres is unavailable, full or out of connections.

    Attributes:
        where: addresses, role and database that it is about, or empty. For operators: the
            message goes to callers, this does not.
    """

    reason = Reason.STORE_UNAVAILABLE

    def __init__(self, message: str, *, reason: Reason | None = None, where: str = "") -> None:
        super().__init__(message, reason=reason)
        self.where = where


class AuditUnavailable(Unavailable):
    """The audit record could not be written, so there is no answer."""

    reason = Reason.AUDIT_UNAVAILABLE


class SetupError(TokenvaultError):
    """The operator must correct it before the server serves."""


class ConfigError(SetupError):
    """The configuration is wrong; the message names the key and the remedy."""


class PolicyError(SetupError):
    """The policy file is wrong; the message names line, key and remedy."""
