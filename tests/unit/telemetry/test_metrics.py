from __future__ import annotations

from prometheus_client import generate_latest

from vault.telemetry.metrics import Metrics, StateMetrics


def test_calls_and_items_are_counted() -> None:
    metrics = Metrics()
    metrics.count_call("Tokenize", "OK", 0.004)
    metrics.count_call("Tokenize", "PERMISSION_DENIED", 0.001)
    metrics.count_items("Tokenize", "card_number", {"ok": 998, "VALUE_TOO_SHORT": 2})
    state = StateMetrics(metrics.registry)
    state.set_ready(True)
    state.set_workers(2)
    state.set_probes({"database": "", "keys": "the key server is sealed"})
    page = generate_latest(metrics.registry).decode()
    assert 'tokenvault_calls_total{code="PERMISSION_DENIED",rpc="Tokenize"} 1.0' in page
    assert 'tokenvault_call_seconds_bucket{le="0.005",rpc="Tokenize"} 2.0' in page
    assert 'tokenvault_items_total{field="card_number",outcome="ok",rpc="Tokenize"} 998.0' in page
    assert "tokenvault_ready 1.0" in page
    assert "tokenvault_workers 2.0" in page
    assert 'tokenvault_probe{probe="database"} 1.0' in page
    assert 'tokenvault_probe{probe="keys"} 0.0' in page
