"""Telling operators of rows that decide and are not believed."""

from __future__ import annotations

from uuid import UUID

from vault.model import FreezeTarget
from vault.service.budgets import TABLE
from vault.service.freezes.rows import TABLE as FREEZES
from vault.service.honey.sets import TABLE as HONEY
from vault.service.notices.notices import TABLE as OUTBOX
from vault.service.ports import BudgetKey, OutboxRow
from vault.telemetry.logging import get_log
from vault.telemetry.metrics import AuditMetrics

__all__ = ["RefusedRows"]

_log = get_log(__name__)


class RefusedRows:
    """Logs and counts them; threads share it."""

    def __init__(self, metrics: AuditMetrics) -> None:
        self._metrics = metrics

    def budget(self, key: BudgetKey, why: str) -> None:
        """Takes the counter of a budget."""
        _log.error(
            "a row that decides is not believed",
            table=TABLE,
            why=why,
            principal=key.principal,
            field=key.space.field,
            action=key.action.value,
            view=key.view,
        )
        self._metrics.count_refused_row(TABLE)

    def reveal(self, reveal: UUID, table: str) -> None:
        """Takes a row of a reveal, whose id is no secret."""
        _log.error("a row that decides is not believed", table=table, reveal=str(reveal))
        self._metrics.count_refused_row(table)

    def honey(self, honey_set: UUID, why: str) -> None:
        """Takes a set of honey tokens, whose id is no secret."""
        _log.error(
            "a row that decides is not believed", table=HONEY, why=why, honey_set=str(honey_set)
        )
        self._metrics.count_refused_row(HONEY)

    def freeze(self, target: FreezeTarget, why: str) -> None:
        """Takes what is known of a principal or person."""
        _log.error(
            "a row that decides is not believed",
            table=FREEZES,
            why=why,
            kind=target.kind,
            name=target.name,
        )
        self._metrics.count_refused_row(FREEZES)

    def notice(self, row: OutboxRow) -> None:
        """Takes a notice that was to be sent; what it says is nobody's to see."""
        _log.error(
            "a row that decides is not believed",
            table=OUTBOX,
            notice=str(row.id),
            endpoint=row.endpoint,
        )
        self._metrics.count_refused_row(OUTBOX)
