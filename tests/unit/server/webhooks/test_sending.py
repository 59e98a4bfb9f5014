"""The thread of one receiver: it sends what is due, and says once what is wrong."""

from __future__ import annotations

from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from vault.errors import StoreUnavailable
from vault.server.webhooks.sending import SendingTask
from vault.service.notices.delivery import NotDelivered
from vault.service.ports import OutboxRow

CANARY = "4111111111111111"
ROW = OutboxRow("default", uuid4(), "approvers", '{"type":"example"}', 1, bytes(32))


def rounds(*outcomes: bool | Exception) -> list[tuple[str, str]]:
    """Returns what was logged, with its problem, by so many calls, a round after the other."""
    left = list(outcomes)

    def deliver() -> bool:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    task = SendingTask("approvers", deliver)
    with capture_logs() as logged:
        while left:
            task.run_once()
    return [(str(each["event"]), str(each.get("problem", ""))) for each in logged]


def test_a_round_sends_until_nothing_is_due() -> None:
    assert rounds(True, True, False) == []


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (NotDelivered("answered 503", None), "answered 503"),
        (StoreUnavailable("the database is unavailable"), "the database is unavailable"),
        (RuntimeError(CANARY), "RuntimeError"),
    ],
)
def test_a_failure_is_said_once_until_a_notice_is_taken(error: Exception, problem: str) -> None:
    said = rounds(error, error, False, error, True, False, error)
    failing = ("notices are not delivered", problem)
    assert said == [failing, ("notices are delivered again", ""), failing]


def test_a_notice_that_is_given_up_is_said_whole() -> None:
    task = SendingTask("approvers", lambda: True)
    with capture_logs() as logged:
        task._failed(NotDelivered("answered 410", ROW))
    assert logged[0]["event"] == "notice given up"
    assert logged[0]["notice"] == ROW.event
    assert logged[1]["problem"] == "answered 410"
