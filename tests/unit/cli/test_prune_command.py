"""Which records `audit prune` may drop: the retention decides, and no clock that is ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest
import typer

from vault.cli.audit import prune
from vault.config.sections import AuditSettings
from vault.errors import ConfigError

if TYPE_CHECKING:
    from vault.audit.pruning.prune import AuditPruner

YEAR = AuditSettings.model_validate({"retention": "365d"})
NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)


class Clock:
    """Postgres's, as a pruner asks it."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


def end(before: str | None = None, now: datetime = NOW, settings: AuditSettings = YEAR) -> datetime:
    return prune._end(before, settings, cast("AuditPruner", Clock(now)))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Machine(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return NOW

    monkeypatch.setattr(prune, "datetime", Machine)


def test_whole_months_go_that_are_older_than_the_retention() -> None:
    assert end() == datetime(2025, 11, 1, tzinfo=UTC)
    assert end("2025-11") == datetime(2025, 11, 1, tzinfo=UTC)
    assert end("2024-02") == datetime(2024, 2, 1, tzinfo=UTC)


def test_the_clock_that_is_behind_counts() -> None:
    assert end(now=NOW + timedelta(days=900)) == datetime(2025, 11, 1, tzinfo=UTC)
    assert end(now=NOW - timedelta(days=30)) == datetime(2025, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize("before", ["2025-12", "2026-11", "9999-01", "2025", "soon", "2025-11-01"])
def test_what_is_younger_is_kept_and_only_months_are_taken(before: str) -> None:
    with pytest.raises(typer.BadParameter, match="--before"):
        end(before)


def test_without_a_retention_nothing_goes() -> None:
    with pytest.raises(ConfigError, match="kept for good"):
        end(settings=AuditSettings())
