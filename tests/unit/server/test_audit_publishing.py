"""The log is published until nothing is left, and what goes wrong is said once."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from vault.audit.tree.stored_tree import StoredTree
from vault.config import AuditSettings, ObjectStoreSettings
from vault.crypto.field_key import MacKey
from vault.errors import AuditUnavailable, ConfigError, InvalidRequest
from vault.server.audit.publishing import PublishingTask, publishing_tasks


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


def tasks(settings: AuditSettings) -> list[PublishingTask]:
    def log() -> tuple[object, str]:
        raise InvalidRequest("nothing was integrated yet")

    tree, key = cast("StoredTree", None), MacKey(1, b"1" * 32)
    return list(publishing_tasks(settings, log, tree, lambda: key, lambda: None))  # type: ignore[arg-type]


def test_each_place_has_a_task_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "s3"
    secret.touch(0o600)
    secret.write_text("[default]\naws_access_key_id = A\naws_secret_access_key = b\n")
    store = ObjectStoreSettings.model_construct(
        url="https://s3.example.org/logs", region="r", credentials_file=secret, ca=None
    )
    both = AuditSettings.model_construct(publish=tmp_path, object_store=store, witnesses=())
    assert tasks(AuditSettings()) == []
    assert len(tasks(both)) == 2
    for each in tasks(both):
        each.run_once()
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match=r"credentials_file: .* is readable by others"):
        tasks(both)
