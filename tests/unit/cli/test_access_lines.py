"""``tokenvault access explain``: what is printed, and which options go together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vault.cli.access import document, lines_of
from vault.cli.main import app
from vault.client import Client
from vault.v1 import policy_service_pb2 as pb

Invoke = Callable[..., tuple[int, str, str]]
GAP = pb.AccessGap(reason="PURPOSE_REQUIRED", message="name a purpose\x1b[2J")
RULES = [
    pb.AccessRule(path="roles.a[0]", line=7, effect="allows", says="allows it", missing=[GAP]),
    pb.AccessRule(path="roles.a[1]", line=8, effect="allows", says="allows it too", decides=True),
]
BUDGET = pb.AccessBudget(view="full", values=1000, per="1h", left=12)


def answer(decision: bool) -> pb.ExplainAccessResponse:
    why = pb.AccessReasons(view="full", roles=["a"], rules=RULES, budgets=[BUDGET])
    why.policy_digest = "ab12"
    if not decision:
        why.reason, why.message, why.view = "DENIED", "no", ""
    return pb.ExplainAccessResponse(decision=decision, context=why)


def test_people_see_what_decides_and_what_is_missing() -> None:
    assert list(lines_of(answer(True))) == [
        "ALLOWED, view full",
        "roles: a",
        "  line 7: roles.a[0]: allows it",
        "    missing: PURPOSE_REQUIRED: name a purpose\\x1b[2J",
        "* line 8: roles.a[1]: allows it too",
        "budget of view full: 12 of 1,000 values per 1h left",
        "policy ab12",
    ]
    assert next(iter(lines_of(answer(False)))) == "DENIED: no"


def test_programs_get_a_decision_and_its_context() -> None:
    found = document(answer(False))
    assert found["decision"] is False
    assert isinstance(found["context"], dict)
    assert found["context"]["reason"] == "DENIED"
    assert document(pb.ExplainAccessResponse()) == {"decision": False, "context": {}}


@pytest.mark.parametrize(
    "options",
    [
        ("--from", "10.0.0.1"),
        ("--at", "2026-11-28T10:00"),
        ("--group", "i a c v"),
        ("--of", "spiffe://x.org/a", "--group", "i a c v"),
        ("--of", "ann"),
        ("--of", "https://idp#ann", "--group", "i a"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["access", "explain", "--action", "tokenize", *options])
    assert result.exit_code == 2


@pytest.mark.parametrize("decision", [True, False])
def test_the_exit_code_is_the_decision(
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pem_files: dict[str, bytes],
    decision: bool,
) -> None:
    for name, content in pem_files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    asked: list[object] = []

    def explain(_: Client, *what: object, **more: object) -> pb.ExplainAccessResponse:
        asked.extend((*what, more["subject"], more["context"]))
        return answer(decision)

    monkeypatch.setattr(Client, "explain_access", explain)
    code, out, _ = invoke(
        *("access", "explain", "--action", "detokenize", "--field", "card", "--of", "i#s"),
        *("--group", "i a c v w", "--purpose", "p", "--from", "10.0.0.1"),
        *("--address", "localhost:1", "--ca", "ca", "--cert", "cert", "--key", "key"),
    )
    assert (code, out.startswith("ALLOWED")) == (0 if decision else 1, decision)
    group = pb.AccessGroup(issuer="i", audience="a", claim="c", value="v w")
    subject = pb.AccessSubject(type="jwt", id="i#s", groups=[group])
    context = pb.AccessContext(purpose="p", address="10.0.0.1")
    assert asked == ["detokenize", "card", "", subject, context]
