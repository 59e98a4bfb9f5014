"""Every role x RPC x field x view over the wire, against decisions written by hand.

The table is what a reviewer of the sample policy would say. It is not computed by
``decide``; mutants of ``decide`` must make the walk fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from vault.client import CallError, Client
from vault.model import Action, Principal
from vault.policy.decide import Allow, Deny, decide
from vault.policy.load import parse_policy
from vault.policy.model import Policy

if TYPE_CHECKING:
    from tests.e2e.conftest import Server

SAMPLE = Path(__file__).parents[2] / "deploy/policy.yaml"

ROLES = (
    "pipeline",
    "support",
    "fraud-analyst",
    "steward",
    "restore-pipeline",
    "crypto-service",
    "auditor",
    "stranger",
)
FIELDS = ("card_number", "us_ssn", "email", "person_name", "national_id", "account_id", "nothing")
VIEWS = ("", "full", "token", "last4", "nothing")
# Whoever has a right on some field may learn that another name is no field.
WITH_FIELD_RIGHTS = frozenset(ROLES) - {"auditor", "stranger"}
REAL_FIELDS = FIELDS[:-1]
# The first two by definition, the others by their format.
WITH_LAST4 = ("card_number", "us_ssn", "national_id", "account_id")


class Question(NamedTuple):
    """One call: who asks for what."""

    role: str
    rpc: str
    field: str
    view: str


Ask = Callable[[Question], str]


def _allowed() -> Iterator[Question]:
    """Everything that anybody may do, one line per sentence of the policy."""
    for field in REAL_FIELDS:
        yield Question("pipeline", "Tokenize", field, "")
        yield Question("steward", "Lookup", field, "")
        yield Question("steward", "Describe", field, "")
        for view in ("", "full", "token"):
            yield Question("restore-pipeline", "Detokenize", field, view)
    for field in WITH_LAST4:
        yield Question("restore-pipeline", "Detokenize", field, "last4")
    for view in ("", "last4", "token"):
        yield Question("support", "Detokenize", "card_number", view)
    for view in ("", "full", "last4", "token"):
        yield Question("fraud-analyst", "Detokenize", "card_number", view)
    yield Question("crypto-service", "Encrypt", "national_id", "")
    yield Question("crypto-service", "Decrypt", "national_id", "")
    yield Question("auditor", "VerifyAudit", "", "")
    yield Question("auditor", "GetPolicy", "", "")


ALLOWED = frozenset(_allowed())


def questions() -> Iterator[Question]:
    """Every question there is."""
    for role in ROLES:
        for field in FIELDS:
            for rpc in ("Tokenize", "Lookup", "Describe", "Encrypt", "Decrypt"):
                yield Question(role, rpc, field, "")
            for view in VIEWS:
                yield Question(role, "Detokenize", field, view)
        for rpc in ("VerifyAudit", "GetPolicy"):
            yield Question(role, rpc, "", "")


def expected(asked: Question) -> str:
    """The answer by the table above."""
    if asked in ALLOWED:
        return "OK"
    if asked.field == "nothing" and asked.role in WITH_FIELD_RIGHTS:
        return "FIELD_NOT_FOUND"
    sees_all = asked._replace(view="full") in ALLOWED
    if asked.rpc == "Detokenize" and sees_all:
        return "INVALID_REQUEST"  # no such view; they may see everything anyway
    return "DENIED"


def differences(ask: Ask) -> list[str]:
    """Walks every question; returns where the answer is not the table's."""
    wrong = []
    for asked in questions():
        answer = ask(asked)
        if answer != expected(asked):
            wrong.append(f"{asked}: {answer}, not {expected(asked)}")
    return wrong


def test_every_decision_over_the_wire(server: Server) -> None:
    with ExitStack() as stack:
        clients = {role: stack.enter_context(server.client(role)) for role in ROLES}
        wrong = differences(lambda asked: _call(clients[asked.role], asked))
    assert wrong == []


def _call(client: Client, asked: Question) -> str:
    calls: dict[str, Callable[[], object]] = {
        "Tokenize": lambda: client.tokenize(asked.field, ["x"]),
        "Detokenize": lambda: client.detokenize(asked.field, ["x"], asked.view),
        "Lookup": lambda: client.lookup(asked.field, ["x"]),
        "Describe": lambda: client.describe(asked.field, ["x"]),
        "Encrypt": lambda: client.encrypt(asked.field, [b"x"]),
        "Decrypt": lambda: client.decrypt(asked.field, [b"x"]),
        "VerifyAudit": client.verify_audit,
        "GetPolicy": client.get_policy,
    }
    try:
        calls[asked.rpc]()
    except CallError as error:
        return error.reason
    return "OK"


ACTIONS = {
    "Tokenize": Action.TOKENIZE,
    "Detokenize": Action.DETOKENIZE,
    "Lookup": Action.LOOKUP,
    "Describe": Action.DESCRIBE,
    "Encrypt": Action.ENCRYPT,
    "Decrypt": Action.DECRYPT,
    "VerifyAudit": Action.READ_AUDIT,
    "GetPolicy": Action.READ_POLICY,
}
Decide = Callable[[Policy, Principal, Action, "str | None", str], "Allow | Deny"]


def _skips_the_view(
    policy: Policy, principal: Principal, action: Action, field: str | None, view: str
) -> Allow | Deny:
    decision = decide(policy, principal, action, field, "")
    return Allow(decision.roles, view) if isinstance(decision, Allow) and view else decision


def _skips_the_field(
    policy: Policy, principal: Principal, action: Action, field: str | None, view: str
) -> Allow | Deny:
    for name in policy.fields if field else ():
        decision = decide(policy, principal, action, name, view)
        if isinstance(decision, Allow):
            return decision
    return decide(policy, principal, action, field, view)


def _skips_the_action(
    policy: Policy, principal: Principal, action: Action, field: str | None, view: str
) -> Allow | Deny:
    if action is Action.LOOKUP:
        action = Action.TOKENIZE
    return decide(policy, principal, action, field, view)


def _never_denies(
    policy: Policy, principal: Principal, action: Action, field: str | None, view: str
) -> Allow | Deny:
    decision = decide(policy, principal, action, field, view)
    return Allow((), view) if isinstance(decision, Deny) else decision


def _in_process(judge: Decide) -> Ask:
    policy = parse_policy(SAMPLE.read_text(encoding="utf-8"), "sample")

    def ask(asked: Question) -> str:
        principal = Principal("spiffe", f"spiffe://example.org/{asked.role}")
        field = asked.field or None
        decision = judge(policy, principal, ACTIONS[asked.rpc], field, asked.view)
        return "OK" if isinstance(decision, Allow) else decision.reason.value

    return ask


def test_decide_itself_agrees_with_the_table() -> None:
    assert differences(_in_process(decide)) == []


@pytest.mark.parametrize(
    "mutant", [_skips_the_view, _skips_the_field, _skips_the_action, _never_denies]
)
def test_mutants_of_decide_are_caught(mutant: Decide) -> None:
    assert differences(_in_process(mutant)) != []


DENYING = """
version: 1
fields:
  us_ssn: {format: us_ssn, generator: ff1}
  email: {format: email, generator: random}
roles:
  wide: [{fields: ["*"], allow: [tokenize]}]
  narrow: [{fields: [us_ssn], deny: [tokenize]}]
principals:
  - {spiffe: "spiffe://example.org/both", roles: [wide, narrow]}
"""


def test_deny_wins_over_allow() -> None:
    policy = parse_policy(DENYING, "denying")
    both = Principal("spiffe", "spiffe://example.org/both")

    assert isinstance(decide(policy, both, Action.TOKENIZE, "email", ""), Allow)
    assert isinstance(decide(policy, both, Action.TOKENIZE, "us_ssn", ""), Deny)
