"""What operators are told of is what there is: probes, health services, metrics, alerts, events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest

from vault.cli.health import health
from vault.server.probing import ADVISORY, PROBES, SERVICES, WORKERS
from vault.telemetry.metrics import (
    AuditMetrics,
    Metrics,
    PolicyMetrics,
    StateMetrics,
    WebhookMetrics,
)

ROOT = Path(__file__).parents[3]
OUTAGES = (ROOT / "docs/outages.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
# The suffixes of samples that a metric's name does not have.
SAMPLES = re.compile(r"_(total|bucket|count|sum)$")


def rows(text: str, head: str) -> dict[str, list[str]]:
    """The rows of the table with this head, by their first cell."""
    _, found, rest = text.partition(f"{head}\n")
    assert found, head
    lines = rest.splitlines()[1:]
    table: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        first, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        table[first] = cells
    return table


def metrics() -> set[str]:
    every = Metrics()
    for kind in (AuditMetrics, PolicyMetrics, StateMetrics, WebhookMetrics):
        kind(every.registry)
    return {metric.name for metric in every.registry.collect()}


def named(text: str) -> set[str]:
    return {SAMPLES.sub("", name) for name in re.findall(r"\btokenvault_[a-z_]+[a-z]", text)}


def test_every_health_service_has_a_row_and_no_other() -> None:
    table = rows(OUTAGES, "| health service | NOT_SERVING | ends readiness |")
    services = {name for first in table for name in re.findall(r"`(\w+)`", first)}
    # The empty name shares the row of readiness.
    assert services | {""} == set(SERVICES)
    for name in (*PROBES, WORKERS):
        assert table[f"`{name}`"][-1] == ("no" if name in ADVISORY else "yes"), name


def test_operations_and_the_command_line_name_every_health_service() -> None:
    (line,) = re.findall(r"Health: gRPC health on [^(]*\(", OPERATIONS)
    assert set(re.findall(r"`(\w+)`", line)) - {"health_port"} == set(SERVICES) - {""}
    (option,) = get_type_hints(health, include_extras=True)["service"].__metadata__
    assert set(re.findall(r"\w+", option.help)) >= set(SERVICES) - {""}


def test_both_pages_name_the_same_alerts() -> None:
    alerts = rows(OPERATIONS, "| alert | PromQL |")
    explained = rows(OUTAGES, "| alert ([PromQL](operations.md#what-to-watch)) | is |")
    assert list(alerts) == list(explained)
    assert all(named(query) for query, *_ in alerts.values())


def test_every_metric_is_in_operations_and_no_page_names_another() -> None:
    there = metrics()
    assert there - named(OPERATIONS) == set()
    for page in (ROOT / "docs").glob("*.md"):
        unknown = named(page.read_text()) - there
        assert {name for name in unknown if not _is_other(name)} == set(), page


def _is_other(name: str) -> bool:
    # A role of the database and the wheel's name, which the pages have too.
    return name in {"tokenvault_owner", "tokenvault_fpe"}


@pytest.mark.parametrize(
    "event",
    re.findall(r"`([^`]+)`", OPERATIONS.partition("In the log: ")[2].partition("\n")[0])
    + re.findall(r'`"([^"`:]+)"`', OUTAGES),
)
def test_every_event_that_is_named_is_logged(event: str) -> None:
    sources = "".join(path.read_text() for path in (ROOT / "vault").rglob("*.py"))
    assert f'"{event}"' in sources
