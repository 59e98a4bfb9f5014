"""Every role x RPC x field x view over the wire, against decisions written by hand.

The table is what a reviewer of the sample policy would say. It is not computed by
``decide``; mutants of ``decide`` must make the walk fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import pytest

from vault.client import CallError, Client, PackedColumn
from vault.model import Action, Principal, Storage
from vault.policy.decide import Allow, Deny, decide
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.v1 import freeze_service_pb2 as pb
from vault.v1.policy_service_pb2 import AccessSubject

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

SAMPLE = (Path(__file__).parents[2] / "deploy/policy.yaml").read_text(encoding="utf-8")
# The sample allows only; here one rule takes back what another gives.
STEWARD = '    - {fields: ["*"], allow: [lookup, describe]}\n'
DENIES = SAMPLE.replace(STEWARD, f"{STEWARD}    - {{fields: [us_ssn], deny: [lookup]}}\n")
WITHOUT_DENY = parse_policy(SAMPLE, "sample")

ROLES = (
    "pipeline",
    "support",
    "fraud-analyst",
    "steward",
    "restore-pipeline",
    "crypto-service",
    "privacy-officer",
    "auditor",
    "stranger",
)
FIELDS = ("card_number", "us_ssn", "email", "person_name", "national_id", "account_id", "nothing")
VIEWS = ("", "full", "token", "last4", "nothing")
# Whoever has a right on some field may learn that another name is no field.
WITH_FIELD_RIGHTS = frozenset(ROLES) - {"auditor", "stranger"}
REAL_FIELDS = FIELDS[:-1]
VAULTED_FIELDS = tuple(name for name in REAL_FIELDS if name != "account_id")
TOKENIZES = ("Tokenize", "TokenizeColumn")
DETOKENIZES = ("Detokenize", "DetokenizeColumn")
ERASES = ("Erase", "EraseSpellings")
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
        for rpc in TOKENIZES:
            yield Question("pipeline", rpc, field, "")
        if field != "us_ssn":
            yield Question("steward", "Lookup", field, "")
        yield Question("steward", "Describe", field, "")
        for rpc in DETOKENIZES:
            for view in ("", "full", "token"):
                yield Question("restore-pipeline", rpc, field, view)
    for rpc in DETOKENIZES:
        for field in WITH_LAST4:
            yield Question("restore-pipeline", rpc, field, "last4")
        for view in ("", "last4", "token"):
            yield Question("support", rpc, "card_number", view)
        for view in ("", "full", "last4", "token"):
            yield Question("fraud-analyst", rpc, "card_number", view)
    yield Question("crypto-service", "Encrypt", "national_id", "")
    yield Question("crypto-service", "Decrypt", "national_id", "")
    for field in VAULTED_FIELDS:
        yield Question("privacy-officer", "Erase", field, "")
        yield Question("privacy-officer", "EraseSpellings", field, "")
    # Every RPC of the audit that is built has a line here and in questions().
    yield Question("auditor", "VerifyAudit", "", "")
    yield Question("auditor", "TailAudit", "", "")
    yield Question("auditor", "CheckpointAudit", "", "")
    yield Question("auditor", "ProveAudit", "", "")
    yield Question("auditor", "GetPolicy", "", "")
    yield Question("auditor", "ExplainAccess", "", "")


ALLOWED = frozenset(_allowed())


def questions() -> Iterator[Question]:
    """Every question there is."""
    for role in ROLES:
        for field in FIELDS:
            for rpc in (*TOKENIZES, "Lookup", "Describe", *ERASES, "Encrypt", "Decrypt"):
                yield Question(role, rpc, field, "")
            for rpc in DETOKENIZES:
                for view in VIEWS:
                    yield Question(role, rpc, field, view)
        for rpc in (
            "VerifyAudit",
            "TailAudit",
            "CheckpointAudit",
            "ProveAudit",
            "GetPolicy",
            "ExplainAccess",
        ):
            yield Question(role, rpc, "", "")


def expected(asked: Question) -> str:
    """The answer by the table above."""
    if asked in ALLOWED:
        return "OK"
    if asked.field == "nothing" and asked.role in WITH_FIELD_RIGHTS:
        return "FIELD_NOT_FOUND"
    if asked.rpc in ERASES and asked == ("privacy-officer", asked.rpc, "account_id", ""):
        return "INVALID_REQUEST"  # allowed, but nothing is stored of a vaultless field
    sees_all = asked._replace(view="full") in ALLOWED
    if asked.rpc in DETOKENIZES and sees_all:
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


@pytest.fixture(scope="module")
def server(start_server: StartServer, site: Site) -> Server:
    """A server with a policy that also denies."""
    assert DENIES != SAMPLE
    path = site.directory / "denies.yaml"
    path.write_text(DENIES, encoding="utf-8")
    return start_server(changes={"policy": {"path": str(path)}})


def test_every_decision_over_the_wire(server: Server) -> None:
    with ExitStack() as stack:
        clients = {role: stack.enter_context(server.client(role)) for role in ROLES}
        wrong = differences(lambda asked: _call(clients[asked.role], asked))
    assert wrong == []


def test_no_workload_has_a_part_in_reveals(server: Server) -> None:
    """The sample's roles of reveals are groups of people; these are certificates."""
    for role in ROLES:
        with server.client(role) as client:
            reveals = client.reveals
            for field in FIELDS:
                request = partial(reveals.request, field, ["x"], reason="x")
                known = field != "nothing" or role not in WITH_FIELD_RIGHTS
                assert _reason(request) == ("DENIED" if known else "FIELD_NOT_FOUND"), (role, field)
            some = str(UUID(int=1))
            named = reveals.get, reveals.approve, reveals.deny, reveals.withdraw, reveals.revoke
            steps: list[Callable[[], object]] = [reveals.list]
            steps += [partial(each, some) for each in named]
            for step in steps:
                assert _reason(step) == "DENIED", (role, step)


def test_only_the_security_officer_has_a_part_in_honey_tokens_and_freezes(server: Server) -> None:
    nobody = pb.FreezeTarget(principal="nobody")
    for role in (*ROLES, "security-officer"):
        with server.client(role) as client:
            officer = role == "security-officer"
            for field in FIELDS:
                known = field != "nothing" or role not in {*WITH_FIELD_RIGHTS, "security-officer"}
                denied = "DENIED" if known else "FIELD_NOT_FOUND"
                add = partial(client.honey.add, field, "label", ["x"])
                wanted = "INVALID_REQUEST" if officer and field != "nothing" else denied
                assert _reason(add) == wanted, (role, field)
            retire = partial(client.honey.retire, str(UUID(int=1)))
            lift = partial(client.freezes.lift, nobody, "why")
            assert _reason(retire) == ("HONEY_SET_NOT_FOUND" if officer else "DENIED"), role
            assert _reason(lift) == ("PERSON_REQUIRED" if officer else "DENIED"), role
            steps: list[Callable[[], object]] = [client.honey.list, client.freezes.list]
            steps.append(partial(client.freezes.freeze, nobody, "why"))
            for step in steps:
                assert _reason(step) == ("OK" if officer else "DENIED"), (role, step)


def _reason(step: Callable[[], object]) -> str:
    try:
        step()
    except CallError as error:
        return error.reason
    return "OK"


def _call(client: Client, asked: Question) -> str:
    x = PackedColumn.of(["x"])
    calls: dict[str, Callable[[], object]] = {
        "Tokenize": lambda: client.tokenize(asked.field, ["x"]),
        "Detokenize": lambda: client.detokenize(asked.field, ["x"], asked.view),
        "TokenizeColumn": lambda: client.tokenize_column(asked.field, x),
        "DetokenizeColumn": lambda: client.detokenize_column(asked.field, x, asked.view),
        "Lookup": lambda: client.lookup(asked.field, ["x"]),
        "Describe": lambda: client.describe(asked.field, ["x"]),
        "Erase": lambda: client.erase(asked.field, tokens=["x"]),
        "EraseSpellings": lambda: client.count_spellings(asked.field, ["x"]),
        "Encrypt": lambda: client.encrypt(asked.field, [b"x"]),
        "Decrypt": lambda: client.decrypt(asked.field, [b"x"]),
        "VerifyAudit": client.verify_audit,
        "TailAudit": client.tail_audit,
        "CheckpointAudit": client.checkpoint_audit,
        "ProveAudit": lambda: client.prove_audit(position=1),
        "GetPolicy": client.get_policy,
        "ExplainAccess": lambda: client.explain_access("tokenize", subject=SOMEBODY),
    }
    return _reason(calls[asked.rpc])


SOMEBODY = AccessSubject(type="spiffe", id="spiffe://example.org/pipeline")
ACTIONS = {
    "Tokenize": Action.TOKENIZE,
    "Detokenize": Action.DETOKENIZE,
    "TokenizeColumn": Action.TOKENIZE,
    "DetokenizeColumn": Action.DETOKENIZE,
    "Lookup": Action.LOOKUP,
    "Describe": Action.DESCRIBE,
    "Erase": Action.ERASE,
    "EraseSpellings": Action.ERASE,
    "Encrypt": Action.ENCRYPT,
    "Decrypt": Action.DECRYPT,
    "VerifyAudit": Action.READ_AUDIT,
    "TailAudit": Action.READ_AUDIT,
    "CheckpointAudit": Action.READ_AUDIT,
    "ProveAudit": Action.READ_AUDIT,
    "GetPolicy": Action.READ_POLICY,
    "ExplainAccess": Action.EXPLAIN_OTHERS,
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


def _lets_auditors_erase(
    policy: Policy, principal: Principal, action: Action, field: str | None, view: str
) -> Allow | Deny:
    decision = decide(policy, principal, action, field, view)
    return Allow((), "") if action is Action.ERASE and "auditor" in str(principal) else decision


def _skips_deny(
    policy: Policy, principal: Principal, action: Action, field: str | None, view: str
) -> Allow | Deny:
    # As if no rule said deny: the sample is the same policy without that rule.
    return decide(WITHOUT_DENY, principal, action, field, view)


def _never_denies(
    policy: Policy, principal: Principal, action: Action, field: str | None, view: str
) -> Allow | Deny:
    decision = decide(policy, principal, action, field, view)
    return Allow((), view) if isinstance(decision, Deny) else decision


def _is_vaulted(policy: Policy, field: str) -> bool:
    # A mutant may let an unknown field through.
    return field not in policy.fields or policy.fields[field].storage is Storage.VAULTED


def _in_process(judge: Decide) -> Ask:
    policy = parse_policy(DENIES, "denies")

    def ask(asked: Question) -> str:
        principal = Principal("spiffe", f"spiffe://example.org/{asked.role}")
        field = asked.field or None
        decision = judge(policy, principal, ACTIONS[asked.rpc], field, asked.view)
        if isinstance(decision, Deny):
            return decision.reason.value
        # What the use case says after an allowed decision.
        stored = field is None or _is_vaulted(policy, field)
        return "OK" if stored or asked.rpc not in ERASES else "INVALID_REQUEST"

    return ask


def test_decide_itself_agrees_with_the_table() -> None:
    assert differences(_in_process(decide)) == []


@pytest.mark.parametrize(
    "mutant",
    [
        _skips_the_view,
        _skips_the_field,
        _skips_the_action,
        _lets_auditors_erase,
        _skips_deny,
        _never_denies,
    ],
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
