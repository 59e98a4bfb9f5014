"""What ``tokenvault policy simulate`` adds up and prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from vault.cli.audit import simulation
from vault.cli.audit.options import rpc_paths
from vault.cli.audit.simulation import Tally, simulation_json, simulation_lines
from vault.client import Client
from vault.policy.reading.load import parse_policy
from vault.policy.simulate import Simulator
from vault.rpc.permissions import permissions
from vault.v1.audit_service_pb2 import AuditFinding, AuditRecord, TailAuditResponse

Invoke = Callable[..., tuple[int, str, str]]

SAMPLE = Path(__file__).parents[3] / "deploy/policy.yaml"
ACTIONS = {path.rpartition("/")[2]: act for path, act in permissions(rpc_paths()).items()}
SUPPORT = "spiffe://example.org/support"


def tally() -> Tally:
    policy = parse_policy(SAMPLE.read_text(), "policy.yaml")
    return Tally(Simulator(policy), ACTIONS)


def record(position: int, **changes: object) -> AuditRecord:
    body: dict[str, object] = {
        "kind": "call",
        "rpc": "Detokenize",
        "outcome": "allowed",
        "principal": SUPPORT,
        "peer": "ipv4:10.0.0.1:5",
        "time": "2026-11-23T12:00:00.000000+00:00",
        "field": "card_number",
        "view": "last4",
        "counts": {"ok": 10},
        "roles": ["support"],
    }
    return AuditRecord(position=position, body=json.dumps(body | changes))


def test_calls_are_added_up_by_what_would_become_of_them() -> None:
    found = tally()
    found.feed(record(1))
    for position in range(2, 7):
        found.feed(record(position, field="us_ssn", view="full", purpose="fraud_case"))
    found.feed(
        record(7, outcome="denied", field="us_ssn", rpc="Tokenize", view="", reason="DENIED")
    )
    pipeline = "spiffe://example.org/pipeline"
    denied = {"outcome": "denied", "reason": "DENIED", "view": "", "counts": {}}
    found.feed(record(8, rpc="Tokenize", principal=pipeline, **denied))
    found.feed(record(9, rpc="ApproveReveal", view="", counts={}))
    assert list(simulation_lines(found)) == [
        "would be refused: 5 calls, 50 values",
        f"  {SUPPORT} Detokenize us_ssn in view full for fraud_case: DENIED: 5 calls, 50 values; "
        "records 2, 3, 4",
        "would be allowed, and was not: 1 calls, 0 values",
        f"  {pipeline} Tokenize card_number: was DENIED: 1 calls, 0 values; records 8",
        "cannot tell: 1 calls, 0 values",
        f"  {SUPPORT} ApproveReveal card_number: what a step of a reveal takes: 1 calls, "
        "0 values; records 9",
        "unchanged: 2 calls",
        "budgets, limits and freezes are not replayed",
    ]
    document = json.loads(simulation_json(found, "ab12"))
    assert (document["policy"], document["same"], document["narrowed"]) == ("ab12", 2, [])
    assert document["refused"] == [
        {
            "principal": SUPPORT,
            "rpc": "Detokenize",
            "field": "us_ssn",
            "view": "full",
            "purpose": "fraud_case",
            "why": "DENIED",
            "calls": 5,
            "values": 50,
            "records": [2, 3, 4],
        }
    ]


def test_questions_about_others_take_their_permission() -> None:
    found = tally()
    asked: dict[str, object] = {"rpc": "ExplainAccess", "counts": {}}
    found.feed(record(1, **asked))
    assert (found.changes, found.same) == (False, 0)
    found.feed(record(2, **asked, subject=SUPPORT, principal="spiffe://example.org/auditor"))
    assert (found.changes, found.same) == (False, 1)
    found.feed(record(3, **asked, subject="unknown"))
    assert [use.outcome for use in found.uses] == ["refused"]


def test_what_is_no_call_of_the_policys_is_left_out() -> None:
    found = tally()
    for changes in ({"kind": "opened"}, {"rpc": "Expire"}, {"rpc": "*"}, {"rpc": "unknown"}):
        found.feed(record(1, **changes))
    assert (found.changes, found.same, found.unreadable) == (False, 0, 0)
    found.feed(AuditRecord(position=2, body=""))
    found.feed(AuditRecord(position=3, body="[]"))
    found.feed(AuditRecord(position=4, pruned=True))
    assert (found.unreadable, found.pruned) == (2, 1)
    assert "1 older records were pruned, and are not judged" in list(simulation_lines(found))


@pytest.mark.parametrize("step", [each for each in ACTIONS if "Reveal" in each])
def test_what_a_step_of_a_reveal_takes_hangs_on_the_reveal(step: str) -> None:
    found = tally()
    found.feed(record(1, rpc=step, view="", counts={}))
    told = [use.why for use in found.uses] == ["what a step of a reveal takes"]
    assert told == (step != "RequestReveal")


@pytest.mark.parametrize("odd", [{"principal": "x"}, {"time": "now"}, {"outcome": "maybe"}])
def test_a_record_that_says_too_little_cannot_be_told(odd: dict[str, str]) -> None:
    found = tally()
    found.feed(record(1, **odd))
    (use,) = found.uses
    assert use.outcome == "cannot_tell"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "_MAX_USES", 5)
    found = tally()
    for at in range(50):
        found.feed(record(at + 1, principal=f"spiffe://example.org/{at}"))
    assert len(found.uses) == 6
    assert sum(count.calls for count in found.uses.values()) == 50
    lines = list(simulation_lines(found))
    assert lines[0] == "would be refused: 50 calls, 500 values"
    assert all(len(count.positions) <= 3 for count in found.uses.values())


def test_no_escape_sequence_is_printed() -> None:
    found = tally()
    found.feed(record(1, principal="spiffe://example.org/\x1b[2J"))
    assert not any("\x1b" in line for line in simulation_lines(found))


@pytest.fixture
def connection(tmp_path: Path, pem_files: dict[str, bytes]) -> list[str]:
    for name, content in pem_files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    return ["--address", "localhost:1", "--ca", "ca", "--cert", "cert", "--key", "key"]


def audit(*records: AuditRecord, findings: Sequence[AuditFinding] = ()) -> Callable[..., object]:
    def tail(*_: object, **asked: object) -> TailAuditResponse:
        return TailAuditResponse(records=records, next=9, last=8, findings=findings)

    return tail


@pytest.mark.parametrize(
    ("records", "findings", "code"),
    [
        ([record(1)], [], 0),
        ([record(1), record(2, field="us_ssn")], [], 1),
        ([record(1), record(2, principal="https://idp.example.org#ann")], [], 1),
        ([record(1), AuditRecord(position=2, body="")], [], 1),
        ([record(1), AuditRecord(position=2, pruned=True)], [], 0),
        ([record(1)], [AuditFinding(kind="DELETED", message="gone")], 1),
    ],
)
@pytest.mark.parametrize("asked", [(), ("--since", "7d"), ("--json",)])
def test_the_exit_code_says_whether_anything_would_change(
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    connection: list[str],
    asked: Sequence[str],
    records: Sequence[AuditRecord],
    findings: Sequence[AuditFinding],
    code: int,
) -> None:
    monkeypatch.setattr(Client, "tail_audit", audit(*records, findings=findings))
    found, out, _ = invoke("policy", "simulate", str(SAMPLE), *asked, *connection)
    assert found == code
    assert out if "--json" not in asked else json.loads(out)["same"] == 1


def test_a_policy_that_is_none_is_wrong_usage(
    invoke: Invoke, connection: list[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("version: 2")
    assert invoke("policy", "simulate", "bad.yaml", *connection)[0] == 2
