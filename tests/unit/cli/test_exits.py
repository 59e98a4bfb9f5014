import pytest

from vault.bulk import CsvError, Reject, RejectedError
from vault.cli.exits import ExitCode, describe_failure
from vault.client import CallError
from vault.client.transport import Contact
from vault.errors import ConfigError, KeysUnavailable, PolicyError

CANARY = "4111111111111111"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CallError("PERMISSION_DENIED", "DENIED", "no", False), ExitCode.REFUSED),
        (CallError("UNAUTHENTICATED", "UNAUTHENTICATED", "no", False), ExitCode.REFUSED),
        (CallError("NOT_FOUND", "FIELD_NOT_FOUND", "no", False), ExitCode.USAGE),
        (CallError("INVALID_ARGUMENT", "BATCH_TOO_LARGE", "no", False), ExitCode.USAGE),
        (CallError("UNAVAILABLE", "STORE_UNAVAILABLE", "no", True), ExitCode.UNAVAILABLE),
        (CallError("RESOURCE_EXHAUSTED", "OVERLOADED", "no", True), ExitCode.UNAVAILABLE),
        (CallError("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED", "no", True), ExitCode.REFUSED),
        (CallError("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "no", False), ExitCode.UNAVAILABLE),
        (CallError("INTERNAL", "INTERNAL", "no", False), ExitCode.INTERNAL),
        (CsvError("column 'x' is not in the header"), ExitCode.USAGE),
        (RejectedError(Reject(1, 2, "c", "f", "R", "m")), ExitCode.FOUND),
        (ConfigError("server.port: is taken"), ExitCode.USAGE),
        (PolicyError("policy.yaml:1: wrong"), ExitCode.USAGE),
        (KeysUnavailable("the key server is unavailable"), ExitCode.UNAVAILABLE),
        (FileNotFoundError(2, "No such file or directory", "in.csv"), ExitCode.USAGE),
        (ValueError(CANARY), ExitCode.INTERNAL),
    ],
)
def test_every_error_has_a_line_and_a_code(error: Exception, code: ExitCode) -> None:
    message, found = describe_failure(error)
    assert found is code
    assert message


def test_a_call_error_names_reason_and_request() -> None:
    error = CallError(
        "PERMISSION_DENIED", "DENIED", "the policy does not allow it", False, "abc123"
    )
    line = "the service refused: DENIED: the policy does not allow it (request abc123)"
    assert describe_failure(error)[0] == line


def test_an_address_is_doubted_only_where_nothing_answers() -> None:
    for contact in Contact:
        error = CallError("UNAVAILABLE", "UNAVAILABLE", "m", True, contact=contact)
        doubted = "check that it runs at this address" in describe_failure(error)[0]
        assert doubted is (contact is Contact.NO_ANSWER)


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        ("UNAVAILABLE", "STORE_UNAVAILABLE", "its database is in trouble"),
        ("UNAVAILABLE", "AUDIT_UNAVAILABLE", "its audit cannot be written"),
        ("UNAVAILABLE", "KEYS_UNAVAILABLE", "has no keys"),
        ("UNAVAILABLE", "OVERLOADED", "is busy"),
        ("RESOURCE_EXHAUSTED", "OVERLOADED", "is busy"),
        ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "no answer in time"),
        ("UNAVAILABLE", "UNAVAILABLE", "cannot answer now"),
        ("UNAVAILABLE", "OF_A_LATER_RELEASE", "cannot answer now"),
    ],
)
def test_who_answered_is_not_looked_for_elsewhere(code: str, reason: str, told: str) -> None:
    message, found = describe_failure(CallError(code, reason, "m", True, "abc123"))
    assert found is ExitCode.UNAVAILABLE
    assert told in message
    assert "address" not in message
    assert "certificate" not in message
    assert message.endswith("m (request abc123)")


def test_a_file_error_names_the_file() -> None:
    error = FileNotFoundError(2, "No such file or directory", "in.csv")
    assert describe_failure(error)[0] == "in.csv: No such file or directory"


def test_an_unforeseen_error_shows_its_place_but_never_its_text() -> None:
    with pytest.raises(ValueError, match=CANARY) as caught:
        int(f"{CANARY}x")
    message, _ = describe_failure(caught.value)
    assert CANARY not in message
    assert "ValueError at test_exits.py:" in message
