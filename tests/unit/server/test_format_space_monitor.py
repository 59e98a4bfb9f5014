from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from prometheus_client import generate_latest

from vault.errors import StoreUnavailable
from vault.server.format_space_monitor import FormatSpaceMonitor
from vault.telemetry.metrics import Metrics


def test_what_was_measured_is_on_the_page() -> None:
    metrics = Metrics()
    FormatSpaceMonitor(lambda: {"us_ssn": 0.44}, metrics.set_space_left).run_once()
    page = generate_latest(metrics.registry).decode()
    assert 'tokenvault_format_space_left_ratio{field="us_ssn"} 0.44' in page


def test_a_store_that_is_away_ends_nothing() -> None:
    told: list[float] = []
    ended = threading.Event()
    answers: Iterator[float | None] = iter([None, 0.5])

    def measure() -> Mapping[str, float]:
        answer = next(answers, 0.5)
        if answer is None:
            raise StoreUnavailable("away")
        return {"f": answer}

    def tell(_: str, left: float) -> None:
        told.append(left)
        ended.set()

    watch = FormatSpaceMonitor(measure, tell, interval=0.01)
    watch.start()
    assert ended.wait(10)
    watch.stop()
    assert set(told) == {0.5}
