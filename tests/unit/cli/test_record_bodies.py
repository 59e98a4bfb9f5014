"""Reading what a service says is a record's body."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vault.cli.audit.bodies import read_body
from vault.cli.audit.figures import Figures
from vault.cli.audit.lines import plain_line
from vault.cli.audit.ocsf.events import ocsf_line
from vault.cli.audit.simulation import Tally
from vault.policy.reading.load import parse_policy
from vault.policy.simulate import Simulator
from vault.v1.audit_service_pb2 import AuditRecord

SAMPLE = Path(__file__).parents[3] / "deploy/policy.yaml"
NONE = ["", "[]", "null", "{", "[" * 100_000]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_object_is_no_body(text: str) -> None:
    """Whoever reads records goes on: as with one that is missing."""
    record = AuditRecord(position=1, body=text)
    assert read_body(record) is None
    simulator = Simulator(parse_policy(SAMPLE.read_text(), "policy.yaml"))
    figures, tally = Figures(), Tally(simulator, {})
    figures.feed(record)
    tally.feed(record)
    assert (figures.unreadable, tally.unreadable) == (1, 1)
    assert "MISSING OR EDITED" in plain_line(record)
    assert "missing or was edited" in json.loads(ocsf_line(record, datetime.now(UTC)))["message"]
