"""Honey tokens and freezes over the wire, on two replicas; and as the database's owner."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING
from urllib.request import urlopen

import psycopg
import pytest

from vault.client import CallError, Client, ClientJwt, PackedColumn
from vault.dev.issuer import JwtIssuer
from vault.dev.ports import persistent_port
from vault.service.honey.alarm import read_touched
from vault.v1 import freeze_service_pb2 as pb

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

IDP = "https://idp.example.org"
# One caller each: who has touched is frozen.
CALLERS = (
    *("detokenize", "detokenize-column", "vaultless", "lookup", "describe"),
    *("erase", "erase-value", "erase-spellings", "denied"),
)
POLICY = """
version: 1
fields:
  card: {format: {alphabet: digits, min: 12, max: 12}, generator: ff1}
  account: {format: {alphabet: digits, min: 12, max: 12}, generator: ff1, storage: vaultless}
roles:
  pipeline: [{fields: ["*"], allow: [tokenize]}]
  keeper: [{fields: ["*"], allow: [manage_honey]}, {fields: ["*"], allow: [detokenize], view: full}]
  caller: [{fields: ["*"], allow: [lookup, describe]}, {fields: ["*"], allow: [detokenize], view: full}, {fields: [card], allow: [erase]}]
  denied: [{fields: [account], allow: [describe]}]
  analyst: [{fields: [card], allow: [request_reveal, detokenize], view: full, approvals: [{of: lead}], grant_ttl: 1h}]
  lead: [{fields: [card], allow: [approve_reveal]}]
  guard: [{allow: [manage_freezes]}]
  auditor: [{allow: [read_audit]}]
freezes:
  - {touches: 1}
  - {roles: [keeper], touches: 1000, per: 1h}
principals:
  - {spiffe: "spiffe://example.org/auditor", roles: [auditor]}
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/keeper", roles: [keeper]}
  - {spiffe: "spiffe://example.org/denied", roles: [denied]}
  - {spiffe: "spiffe://example.org/siem", roles: [guard]}
  - {jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: fraud}, roles: [analyst]}
  - {jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: leads}, roles: [lead]}
  - {jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: guards}, roles: [guard]}
""" + "".join(  # noqa: E501
    f'  - {{spiffe: "spiffe://example.org/{name}", roles: [caller]}}\n'
    for name in (*CALLERS, "mallory")
    if name != "denied"
)
VALUES = [f"{at:012}" for at in range(24)]


@dataclass
class Replicas:
    """Two servers, and tokens of which every third is honey."""

    site: Site
    servers: Sequence[Server]
    issuer: JwtIssuer
    honey: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = count()

    def person(self, name: str, *groups: str, replica: int = 0) -> Client:
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": IDP, "aud": "tokenvault", "sub": name, "iat": now, "exp": now + 600,
            "groups": list(groups), "oid": name,
        }  # fmt: skip
        path = self.site.directory / f"token-{next(self._names)}"
        path.write_text(self.issuer.sign(claims))
        path.chmod(0o600)
        jwt = ClientJwt(self.site.authority.certificate_path, path)
        return Client(self.servers[replica].jwt_address, jwt)

    def guard(self) -> Client:
        return self.person("gil", "guards")

    def owner(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.site.database.superuser_conninfo, autocommit=True)

    def findings(self, about: str) -> Sequence[str]:
        with self.servers[0].client("auditor") as client:
            found = client.verify_audit().findings
        return [f"{each.kind} {each.message}" for each in found if about in each.message]

    def await_frozen(self, name: str, *, frozen: bool = True) -> None:
        """Waits until both servers say so."""
        for server in self.servers:
            with server.client(name) as client:
                eventually(lambda: (refusal(client) == "PRINCIPAL_FROZEN") is frozen)


def refusal(client: Client) -> str:
    try:
        client.describe("account", ["000000000000"])
    except CallError as error:
        return str(error.reason)
    return ""


def eventually(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def principal(name: str) -> pb.FreezeTarget:
    return pb.FreezeTarget(principal=f"spiffe://example.org/{name}")


@pytest.fixture(scope="module")
def replicas(site: Site, start_server: StartServer) -> Replicas:
    path = site.directory / "honey.yaml"
    path.write_text(POLICY, encoding="utf-8")
    issuer = JwtIssuer(site.directory / "issuer")
    servers = []
    for name in ("one", "two"):
        port = site.directory / name / "jwt_port"
        port.parent.mkdir()
        changes: dict[str, dict[str, str | int | list[str]]] = {
            "policy": {"path": str(path)},
            "jwt": {"port": persistent_port(port)},
            "jwt.issuers#1": {
                "issuer": IDP,
                "audience": "tokenvault",
                "group_claim": "groups",
                "person_claim": "oid",
                "algorithms": ["ES256"],
                "jwks_file": str(issuer.jwks_path),
            },
        }
        servers.append(start_server(name, changes))
    made = Replicas(site, servers, issuer)
    with servers[0].client("pipeline") as pipeline, servers[0].client("keeper") as keeper:
        for name in ("card", "account"):
            tokens = [str(each) for each in pipeline.tokenize(name, VALUES).values]
            made.honey[name], made.others[name] = tokens[::3], tokens[1::3] + tokens[2::3]
            keeper.honey.add(name, "planted", made.honey[name])
        # Both servers know them once a call of each is noted.
        for server in servers:
            with server.client("keeper") as each:
                eventually(lambda each=each, server=server: _is_noted(each, made, server))  # type: ignore[misc]
    return made


def _is_noted(client: Client, replicas: Replicas, server: Server) -> bool:
    for name in ("card", "account"):
        client.detokenize(name, replicas.honey[name][-1:])
    fields = {line["field"] for line in server.lines() if line["event"] == "honey token touched"}
    return fields == {"card", "account"}


Touch = Callable[[Client, str, str], object]


def _column(client: Client, token: str) -> Sequence[str | None]:
    return client.detokenize_column("card", PackedColumn.of([token])).column.strings()


TOUCHES: Mapping[str, tuple[str, Touch]] = {
    "detokenize": ("card", lambda each, token, _: each.detokenize("card", [token]).values),
    "detokenize-column": ("card", lambda each, token, _: _column(each, token)),
    "vaultless": ("account", lambda each, token, _: each.detokenize("account", [token]).values),
    "lookup": ("card", lambda each, _, value: each.lookup("card", [value]).values),
    "describe": ("card", lambda each, token, _: each.describe("card", [token])),
    "erase-spellings": ("card", lambda each, _, value: each.count_spellings("card", [value])),
    "denied": ("card", lambda each, token, _: _denied(each, token)),
    "erase": ("card", lambda each, token, _: each.erase("card", tokens=[token]).errors),
    "erase-value": ("card", lambda each, _, value: each.erase("card", values=[value]).errors),
}


def _denied(client: Client, token: str) -> str:
    with pytest.raises(CallError) as caught:
        client.detokenize("card", [token])
    return str(caught.value.reason)


def _shape(answer: object) -> str:
    """An answer without what its token says."""
    return re.sub(r"\d+", "#", str(answer))


def test_every_rpc_answers_a_honey_token_like_any_other_and_then_nothing(
    replicas: Replicas, read_audit: Callable[[], list[str]]
) -> None:
    assert set(TOUCHES) == set(CALLERS)
    one, two = replicas.servers
    with ExitStack() as stack:
        for at, (name, (of_field, touch)) in enumerate(TOUCHES.items()):
            client = stack.enter_context(one.client(name))
            honey, other = replicas.honey[of_field][at % 7], replicas.others[of_field][at]
            value = VALUES[VALUES_OF[of_field](replicas, honey)]
            plain = touch(client, other, VALUES[VALUES_OF[of_field](replicas, other)])
            assert refusal(client) != "PRINCIPAL_FROZEN", name
            assert _shape(touch(client, honey, value)) == _shape(plain), name
            assert refusal(client) == "PRINCIPAL_FROZEN", name
        analyst = stack.enter_context(replicas.person("ann", "fraud", replica=1))
        analyst.reveals.request("card", replicas.honey["card"][:1], reason="a case")
        with pytest.raises(CallError, match="frozen"):
            analyst.reveals.list()
    for name in TOUCHES:
        replicas.await_frozen(name)
    with replicas.person("ann", "leads") as ann:  # as whomever she comes
        eventually(lambda: _reason(ann.reveals.list) == "PRINCIPAL_FROZEN")
    bodies = [json.loads(body) for body in read_audit()]
    touched = {body["rpc"] for body in bodies if read_touched(body.get("touched") or "- 0")}
    assert touched == {
        *("Detokenize", "DetokenizeColumn", "Lookup", "Describe"),
        *("Erase", "EraseSpellings", "RequestReveal"),
    }
    by_honey = [body for body in bodies if body.get("principal") == "tokenvault:honey"]
    assert len(by_honey) == len(TOUCHES) + 1
    said = json.dumps(bodies) + one.log.read_text() + two.log.read_text()
    assert not any(token in said for tokens in replicas.honey.values() for token in tokens)
    page = urlopen(f"http://{one.metrics}/metrics").read().decode()
    assert 'tokenvault_honey_touches_total{field="card"}' in page
    assert replicas.findings("freeze") == []


VALUES_OF: Mapping[str, Callable[[Replicas, str], int]] = {
    name: lambda replicas, token, name=name: _place(replicas, name, token)  # type: ignore[misc]
    for name in ("card", "account")
}


def _place(replicas: Replicas, name: str, token: str) -> int:
    """Which of the values a token is of."""
    honey, others = replicas.honey[name], replicas.others[name]
    if token in honey:
        return honey.index(token) * 3
    at, half = others.index(token), len(others) // 2
    return at * 3 + 1 if at < half else (at - half) * 3 + 2


def _reason(call: Callable[[], object]) -> str:
    try:
        call()
    except CallError as error:
        return str(error.reason)
    return ""


def test_another_person_lifts_a_freeze_with_a_reason(
    replicas: Replicas, read_audit: Callable[[], list[str]]
) -> None:
    mallory = principal("mallory")
    with replicas.servers[0].client("siem") as siem, replicas.guard() as guard:
        assert siem.freezes.freeze(mallory, "odd hours").frozen
        replicas.await_frozen("mallory")
        assert _reason(lambda: siem.freezes.lift(mallory, "why not")) == "PERSON_REQUIRED"
        assert _reason(lambda: guard.freezes.lift(mallory, "")) == "INVALID_REQUEST"
        listed = {each.target.principal: each for each in guard.freezes.list()}
        assert listed["spiffe://example.org/mallory"].reason == "odd hours"
        assert not guard.freezes.lift(mallory, "a mistake").frozen
        replicas.await_frozen("mallory", frozen=False)
        gil = pb.FreezeTarget(person=pb.FrozenPerson(issuer=IDP, claim="oid", value="gil"))
        assert _reason(lambda: guard.freezes.lift(gil, "me")) == "SELF_UNFREEZE"
    bodies = [json.loads(body) for body in read_audit()]
    changes = [body for body in bodies if "mallory" in str(body.get("freeze"))]
    assert sorted((body["rpc"], body["freeze"]["frozen"]) for body in changes) == [
        ("Freeze", True),
        ("LiftFreeze", False),
    ]


def test_the_owner_of_the_database_ends_no_freeze_unseen(replicas: Replicas) -> None:
    where = "WHERE name = 'spiffe://example.org/mallory'"
    with replicas.guard() as guard, replicas.owner() as owner:
        owner.execute(f"CREATE TABLE old_freezes AS SELECT * FROM freezes {where}")
        guard.freezes.freeze(principal("mallory"), "again")
        replicas.await_frozen("mallory")
        for statement, kind in (
            (f"UPDATE freezes SET frozen = false {where}", "FORGED_ROW"),
            (f"DELETE FROM freezes {where}", "ROLLED_BACK"),
            ("INSERT INTO freezes SELECT * FROM old_freezes", "ROLLED_BACK"),
        ):
            owner.execute(statement.encode())
            seen = [len(_refused(server)) for server in replicas.servers]
            eventually(
                lambda seen=seen: all(  # type: ignore[misc]
                    len(_refused(server)) > before
                    for server, before in zip(replicas.servers, seen, strict=True)
                )
            )
            replicas.await_frozen("mallory")
            assert [each.split()[0] for each in replicas.findings("mallory")] == [kind]
        guard.freezes.lift(principal("mallory"), "enough")
        replicas.await_frozen("mallory", frozen=False)
        assert replicas.findings("mallory") == []
        owner.execute("DROP TABLE old_freezes")


def _refused(server: Server) -> Sequence[object]:
    event = "a row that decides is not believed"
    return [line for line in server.lines() if line["event"] == event]


def test_the_owner_of_the_database_makes_no_honey_token_another_one(replicas: Replicas) -> None:
    with replicas.servers[0].client("keeper") as keeper, replicas.owner() as owner:
        (chosen,) = [each for each in keeper.honey.list() if each.field == "account"]
        where = f"WHERE id = '{chosen.id}'"
        owner.execute(f"CREATE TABLE old_honey AS SELECT * FROM honey_tokens {where}".encode())
        owner.execute(f"UPDATE honey_tokens SET active = false {where}".encode())
        assert [each.split()[0] for each in replicas.findings(chosen.id)] == ["FORGED_ROW"]
        owner.execute(f"DELETE FROM honey_tokens {where}".encode())
        assert [each.split()[0] for each in replicas.findings(chosen.id)] == ["ROLLED_BACK"]
        owner.execute(b"INSERT INTO honey_tokens SELECT * FROM old_honey")
        assert not keeper.honey.retire(chosen.id).active
        assert replicas.findings(chosen.id) == []
        owner.execute(f"DELETE FROM honey_tokens {where}".encode())
        owner.execute(b"INSERT INTO honey_tokens SELECT * FROM old_honey")
        assert [each.split()[0] for each in replicas.findings(chosen.id)] == ["ROLLED_BACK"]
        owner.execute(b"DROP TABLE old_honey")
