"""The tasks that send notices, one for each receiver of the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from vault.config import WebhookSettings, WebhooksSettings
from vault.server.webhooks.receiver import Receiver
from vault.server.webhooks.sending import SendingTask
from vault.service.notices.delivery import Delivery
from vault.service.notices.notices import Notices, Subscription
from vault.service.ports import KeySource, OutboxRow, UnitOfWork
from vault.telemetry.metrics import WebhookMetrics

__all__ = ["notices_for", "sending_tasks"]

_MARGIN = timedelta(seconds=60)  # looking its name up is not in the timeout


def notices_for(settings: WebhooksSettings | None, keys: KeySource) -> Notices:
    """Returns what writes notices for the receivers of the settings."""
    if settings is None:
        return Notices(keys)
    subscriptions = [Subscription(each.name, frozenset(each.events)) for each in settings.endpoints]
    return Notices(keys, settings.source, subscriptions)


def sending_tasks(
    settings: WebhooksSettings | None,
    work: UnitOfWork,
    keys: KeySource,
    refused: Callable[[OutboxRow], None],
    metrics: WebhookMetrics,
) -> Sequence[SendingTask]:
    """Returns a task, not started yet, for each receiver. Raises ConfigError."""
    if settings is None:
        return ()

    def task(endpoint: WebhookSettings) -> SendingTask:
        delivery = Delivery(
            work,
            keys,
            endpoint.name,
            Receiver(endpoint).send,
            lease=endpoint.timeout + _MARGIN,
            max_age=settings.max_age,
            refused=refused,
            count=partial(metrics.count_notice, endpoint.name),
        )
        return SendingTask(endpoint.name, delivery.deliver)

    return [task(endpoint) for endpoint in settings.endpoints]
