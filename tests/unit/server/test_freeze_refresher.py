"""What a touch of a honey token tells operators, and what it does not."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.unit.service.honey.conftest import Site
from vault.server.freezes.refreshing import FreezeRefresher, Watched
from vault.telemetry.metrics import AuditMetrics

VALUES = ["219-09-9999", "219-09-9998"]


def test_a_touch_is_logged_counted_and_frozen_without_its_token() -> None:
    site, registry = Site(), CollectorRegistry()
    honey, *_ = site.plant("ssn", VALUES)
    watched = Watched(site.watch, site.known, site.alarm)
    refresher = FreezeRefresher(site.work, watched, site.counter, AuditMetrics(registry))
    site.read([honey])
    with capture_logs() as logs:
        refresher.run_once()
        refresher.run_once()
    touched, frozen = logs
    assert (touched["event"], touched["log_level"]) == ("honey token touched", "warning")
    assert (touched["rpc"], touched["field"], touched["tokens"]) == ("Detokenize", "ssn", 1)
    assert touched["principal"] == "spiffe://example.org/reader"
    assert list(touched["sets"].values()) == ["crm"]
    assert (frozen["event"], frozen["name"]) == ("caller frozen", "spiffe://example.org/reader")
    assert registry.get_sample_value("tokenvault_honey_touches_total", {"field": "ssn"}) == 1
    assert honey not in str(logs)
    assert honey.replace("-", "") not in str(logs)
