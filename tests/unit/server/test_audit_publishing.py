"""The log is published until nothing is left, and what goes wrong is said once."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from vault.errors import AuditUnavailable
from vault.server.audit.publishing import PublishingTask


def test_a_round_publishes_until_nothing_is_left() -> None:
    left = iter((2, 1, 0, 5))
    task = PublishingTask(lambda: next(left), 60, lambda: None)
    task.run_once()
    assert next(left) == 5


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (AuditUnavailable("the log was put back"), "the log was put back"),
        (OSError(28, "No space left on device", "/srv/audit"), "No space left on device"),
        (RuntimeError("4111111111111111"), "RuntimeError"),
    ],
)
def test_a_failure_is_counted_and_said_once(error: Exception, problem: str) -> None:
    failures: list[None] = []
    outcomes: list[Exception | int] = [error, error, 0, error]

    def publish() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    task = PublishingTask(publish, 60, lambda: failures.append(None))
    with capture_logs() as logged:
        for _ in range(4):
            task.run_once()
    said = [each for each in logged if each["event"] == "the audit is not published"]
    assert len(said) == 2
    assert problem in str(said[0]["problem"])
    assert "4111111111111111" not in str(logged)
    assert len(failures) == 3
