"""Governed reveals over the wire, on two replicas; and as the database's owner."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from tests.e2e.standby import eventually
from tests.small_receiver import SmallReceiver, small_receiver
from vault.audit.receipts.check import check_against_proof
from vault.audit.receipts.dsse import Envelope
from vault.audit.receipts.receipt import Receipt
from vault.audit.tlog.note import NoteKey
from vault.client import CallError, Client, ClientJwt, PackedColumn
from vault.dev.issuer import JwtIssuer
from vault.dev.ports import persistent_port
from vault.v1.audit_service_pb2 import AuditFilter
from vault.v1.reveal_service_pb2 import RevealState

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

TOKENVAULT = str(Path(sys.executable).parent / "tokenvault")
IDP = "https://idp.example.org"
RULE = (
    "allow: [request_reveal, detokenize], view: full, "
    "approvals: [{of: lead, not_same_group: true}], grant_ttl: 1h, receipt: true"
)
POLICY = """
version: 1
fields:
  card: {format: {alphabet: digits, min: 12, max: 12}, generator: ff1, views: {last4: {show_last: 4}}}
roles:
  pipeline: [{fields: [card], allow: [tokenize]}]
  analyst:
    - {fields: [card], allow: [request_reveal, detokenize], view: full, approvals: [{of: lead, not_same_group: true}], grant_ttl: 1h, receipt: true}
  archivist:
    - {fields: [card], allow: [encrypt]}
    - {fields: [card], allow: [request_reveal, decrypt], view: full, approvals: [{of: lead}], grant_ttl: 1h, receipt: true}
  responder:
    - {fields: [card], allow: [request_reveal, detokenize], view: full, approvals: [{of: lead}], grant_ttl: 1h, break_glass: {grant_ttl: 15m, budget: {values: 5, per: 1d}, review: {of: officer}}}
  officer: [{fields: [card], allow: [approve_reveal]}]
  lead: [{fields: [card], allow: [approve_reveal]}]
  auditor: [{allow: [read_audit, read_policy]}]
principals:
  - {spiffe: "spiffe://example.org/auditor", roles: [auditor]}
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: fraud}, roles: [analyst]}
  - {jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: leads}, roles: [lead]}
  - {jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: scans}, roles: [archivist]}
  - {jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: responders}, roles: [responder]}
  - {jwt: {issuer: "https://idp.example.org", audience: tokenvault, claim: groups, value: officers}, roles: [officer]}
"""  # noqa: E501
EXPIRED = RevealState.REVEAL_STATE_EXPIRED
WEBHOOK_KEY = bytes(range(32))
CLIENTS, GRANTED, BATCH, ASKED = 64, 1000, 10, 10_000


@dataclass
class Replicas:
    site: Site
    servers: Sequence[Server]
    issuer: JwtIssuer
    receiver_port: int

    def __post_init__(self) -> None:
        self._names = count()

    def client(self, person: str, *groups: str, subject: str = "", replica: int = 0) -> Client:
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": IDP, "aud": "tokenvault", "sub": subject or person, "iat": now,
            "exp": now + 600, "groups": list(groups), "email": person, "email_verified": True,
        }  # fmt: skip
        path = self.site.directory / f"token-{next(self._names)}"
        path.write_text(self.issuer.sign(claims))
        path.chmod(0o600)
        jwt = ClientJwt(self.site.authority.certificate_path, path)
        return Client(self.servers[replica].jwt_address, jwt)

    def analyst(self, replica: int = 0) -> Client:
        return self.client("ann@example.org", "fraud", replica=replica)

    def lead(self, replica: int = 1) -> Client:
        return self.client("lea@example.org", "leads", replica=replica)

    def owner(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.site.database.superuser_conninfo, autocommit=True)


@pytest.fixture(scope="module")
def replicas(site: Site, start_server: StartServer) -> Replicas:
    path = site.directory / "reveals.yaml"
    path.write_text(POLICY, encoding="utf-8")
    issuer = JwtIssuer(site.directory / "issuer")
    receiver = persistent_port(site.directory / "receiver_port")  # nobody is there at first
    secret = site.directory / "webhook-secret"
    secret.write_text("whsec_" + base64.b64encode(WEBHOOK_KEY).decode())
    secret.chmod(0o600)
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
                "person_claim": "email",
                "algorithms": ["ES256"],
                "jwks_file": str(issuer.jwks_path),
            },
            "webhooks": {"source": "/test"},
            "webhooks.endpoints#1": {
                "name": "siem",
                "url": f"http://127.0.0.1:{receiver}/hook",
                "secret_file": str(secret),
            },
        }
        servers.append(start_server(name, changes))
    return Replicas(site, servers, issuer, receiver)


@pytest.fixture(scope="module")
def tokens(replicas: Replicas) -> Sequence[str]:
    values = [f"{at:012}" for at in range(GRANTED)]
    with replicas.servers[0].client("pipeline") as client:
        made = client.tokenize("card", values).values
    assert all(made)
    return [str(token) for token in made]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(CallError) as caught:
        call()
    return str(caught.value.reason)


def refused(client: Client, tokens: Sequence[str], grant: str, view: str = "") -> str:
    return refusal(lambda: client.detokenize("card", tokens, view=view, grant=grant))


def granted(replicas: Replicas, tokens: Sequence[str], times: int = 1) -> str:
    with replicas.analyst() as analyst, replicas.lead() as lead:
        made = analyst.reveals.request("card", tokens, reason="a case", times=times)
        assert lead.reveals.approve(made.id).left == len(tokens) * times
    return str(made.id)


def test_request_approve_reveal_exhaust_and_revoke(
    replicas: Replicas, tokens: Sequence[str], read_audit: Callable[[], list[str]]
) -> None:
    with replicas.analyst() as analyst, replicas.lead() as lead:
        assert refusal(lambda: analyst.detokenize("card", tokens[:2])) == "APPROVAL_REQUIRED"
        made = analyst.reveals.request("card", tokens[:2], reason="a case")
        assert refusal(lambda: analyst.reveals.approve(made.id)) == "DENIED"
        (seen,) = lead.reveals.list()
        assert (seen.id, seen.person, seen.tokens) == (made.id, "ann@example.org", 2)
        lead.reveals.approve(made.id, "go on")
        shown = analyst.detokenize("card", tokens[:2], grant=made.id).values
        assert shown == ["000000000000", "000000000001"]
        packed = PackedColumn.of(list(tokens[4:6]))
        assert refusal(lambda: analyst.detokenize_column("card", packed)) == "APPROVAL_REQUIRED"
        grant = granted(replicas, tokens[4:6])
        column = analyst.detokenize_column("card", packed, grant=grant).column
        assert column.strings() == ["000000000004", "000000000005"]
    with replicas.analyst(1) as analyst:
        again = refusal(lambda: analyst.detokenize("card", tokens[:1], grant=made.id))
        assert again == "GRANT_EXHAUSTED"
        other = granted(replicas, tokens[2:4])
        with replicas.lead() as lead:
            lead.reveals.revoke(other)
        assert refusal(lambda: analyst.detokenize("card", tokens[2:3], grant=other)) == (
            "GRANT_REVOKED"
        )
    bodies = [json.loads(body) for body in read_audit()]
    of_grant = [body for body in bodies if body.get("grant") == made.id]
    assert sum(body.get("charged", 0) for body in of_grant) == 2
    assert not any(token in body for body in read_audit() for token in tokens[:4])


def test_bytes_are_decrypted_under_a_grant(replicas: Replicas) -> None:
    with replicas.client("arch@example.org", "scans") as archivist, replicas.lead() as lead:
        sealed = [bytes(each or b"") for each in archivist.encrypt("card", [b"a", b"b"]).values]
        assert refusal(lambda: archivist.decrypt("card", sealed)) == "APPROVAL_REQUIRED"
        made = archivist.reveals.request_ciphertexts("card", sealed, reason="a case")
        lead.reveals.approve(made.id)
        assert archivist.decrypt("card", sealed, grant=made.id).values == [b"a", b"b"]
        assert refusal(lambda: archivist.decrypt("card", sealed[:1], grant=made.id)) == (
            "GRANT_EXHAUSTED"
        )


def run(server: Server, *arguments: str, tls: bool = True) -> tuple[int, str]:
    own = server.site.tls("auditor")
    service = ["--address", server.address, "--ca", str(own.ca), "--cert", str(own.cert)]
    done = subprocess.run(
        [TOKENVAULT, *arguments, *([*service, "--key", str(own.key)] if tls else [])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_reveal_gives_a_receipt_that_anybody_can_check(
    replicas: Replicas, tokens: Sequence[str], tmp_path: Path
) -> None:
    grant = granted(replicas, tokens[40:44])
    with replicas.analyst() as analyst:
        shown = analyst.detokenize("card", tokens[40:42], purpose="", grant=grant)
        packed = PackedColumn.of(list(tokens[42:44]))
        column = analyst.detokenize_column("card", packed, grant=grant)
        assert not analyst.detokenize("card", [], grant=grant).receipts
    with replicas.client("arch@example.org", "scans") as archivist, replicas.lead() as lead:
        sealed = [bytes(each or b"") for each in archivist.encrypt("card", [b"a"]).values]
        made = archivist.reveals.request_ciphertexts("card", sealed, reason="a case")
        lead.reveals.approve(made.id)
        opened = archivist.decrypt("card", sealed, grant=made.id)
    (receipt,) = shown.receipts
    path, proof = tmp_path / "receipt", tmp_path / "proof"
    path.write_text(receipt)
    server = replicas.servers[1]  # the one that did not make it
    code, printed = run(server, "keys", "public", "--config", str(server.settings), tls=False)
    assert code == 0
    known = [NoteKey.from_vkey(line) for line in printed.splitlines()]
    read = [
        Receipt.from_envelope(each, known)
        for each in (*shown.receipts, *column.receipts, *opened.receipts)
    ]
    assert [
        (each.reveal["rpc"], each.reveal["grant"], each.reveal["charged"]) for each in read
    ] == [
        ("Detokenize", grant, 2),
        ("DetokenizeColumn", grant, 2),
        ("Decrypt", made.id, 1),
    ]
    assert not any(token in Envelope.from_json(receipt).payload.decode() for token in tokens)
    with server.client("auditor") as auditor:
        eventually(lambda: auditor.tail_audit(0, 1).lag <= 1)
        wanted = AuditFilter(grants=[grant], persons=["ann@example.org"])
        bodies = [json.loads(each.body) for each in auditor.tail_audit(wanted=wanted).records]
    assert [body["rpc"] for body in bodies] == ["RequestReveal", "Detokenize", "DetokenizeColumn"]
    code, told = run(server, "audit", "prove", "--receipt", str(path), "-o", str(proof))
    assert code == 0, told
    _, position = check_against_proof(read[0], proof.read_text(), known)
    assert position


def test_nobody_approves_for_themselves_or_uses_anothers_grant(
    replicas: Replicas, tokens: Sequence[str]
) -> None:
    with replicas.analyst() as analyst:
        made = analyst.reveals.request("card", tokens[10:12], reason="a case")
    second = replicas.client("ann@example.org", "leads", subject="second")
    nested = replicas.client("ned@example.org", "leads", "fraud")
    with second, nested:
        assert refusal(lambda: second.reveals.approve(made.id)) == "SELF_APPROVAL"
        assert refusal(lambda: nested.reveals.approve(made.id)) == "SAME_GROUP"
    with replicas.lead() as lead:
        lead.reveals.approve(made.id)
        assert refusal(lambda: lead.reveals.approve(made.id)) == "REVEAL_CLOSED"
    with replicas.client("eve@example.org", "fraud") as eve:
        assert refusal(lambda: eve.detokenize("card", tokens[10:11], grant=made.id)) == (
            "GRANT_INVALID"
        )
        assert refusal(lambda: eve.reveals.get(made.id)) == "REVEAL_NOT_FOUND"
    with replicas.analyst() as analyst:
        assert refusal(lambda: analyst.detokenize("card", tokens[12:13], grant=made.id)) == (
            "GRANT_INVALID"
        )


def test_a_grant_shows_no_other_view_and_ends(replicas: Replicas, tokens: Sequence[str]) -> None:
    asked = tokens[40:41]
    with replicas.analyst() as analyst, replicas.lead() as lead:
        made = analyst.reveals.request("card", asked, reason="a case", view="last4")
        lead.reveals.approve(made.id)
        reasons = {refused(analyst, asked, made.id, view) for view in ("", "full", "masked")}
        assert reasons == {"GRANT_INVALID"}
        shown = analyst.detokenize("card", asked, view="last4", grant=made.id).values
        assert shown == ["********0040"]
        short = analyst.reveals.request(
            "card", asked, reason="a case", lifetime=timedelta(seconds=1)
        )
        lead.reveals.approve(short.id)
    with replicas.analyst(1) as analyst:
        eventually(lambda: analyst.reveals.get(short.id).state == EXPIRED)
        assert refused(analyst, asked, short.id) == "GRANT_EXPIRED"


def test_who_has_lost_the_role_has_lost_the_grant(
    replicas: Replicas, tokens: Sequence[str]
) -> None:
    grant = granted(replicas, tokens[41:42])
    with replicas.client("ann@example.org", "scans") as moved:
        assert refusal(lambda: moved.detokenize("card", tokens[41:42], grant=grant)) == "DENIED"
    with replicas.analyst() as analyst:
        asked = analyst.reveals.request("card", tokens[42:43], reason="a case")
    with replicas.client("lea@example.org", "scans") as former:
        assert refusal(lambda: former.reveals.approve(asked.id)) == "DENIED"


def put_in_force(replicas: Replicas, policy: str) -> None:
    """Writes the policy's file and waits for every replica to decide by it."""

    def digests() -> list[str]:
        found = []
        for server in replicas.servers:
            with server.client("auditor") as auditor:
                found.append(auditor.get_policy().digest)
        return found

    before = digests()
    (replicas.site.directory / "reveals.yaml").write_text(policy)
    eventually(lambda: not set(before) & set(digests()))


@pytest.mark.parametrize(
    ("words", "narrower", "reason"),
    [
        ("{of: lead, not_same_group: true}", "{of: lead, count: 2}", "GRANT_INVALID"),
        ("grant_ttl: 1h", "grant_ttl: 1s", "GRANT_EXPIRED"),
        (RULE, "allow: [lookup]", "DENIED"),
    ],
)
def test_a_policy_that_narrows_narrows_what_was_granted(
    replicas: Replicas, tokens: Sequence[str], words: str, narrower: str, reason: str
) -> None:
    """And with the policy of before the grant is good again: it is bound to that one."""
    asked = tokens[43:44]
    grant = granted(replicas, asked)
    assert words in POLICY
    with replicas.analyst() as one, replicas.analyst(1) as two:
        try:
            put_in_force(replicas, POLICY.replace(words, narrower, 1))
            for each in (one, two):
                assert refused(each, asked, grant) == reason
        finally:
            put_in_force(replicas, POLICY)
        assert two.detokenize("card", asked, grant=grant).values == ["000000000043"]


FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100'', MESSAGE = ''could not extend file''; END';
CREATE TRIGGER full_disk BEFORE INSERT ON audit_records EXECUTE FUNCTION full_disk();
"""
EMPTIED = "DROP TRIGGER full_disk ON audit_records; DROP FUNCTION full_disk()"


@pytest.mark.parametrize(
    ("away", "back"),
    [
        (FULL, EMPTIED),
        (
            "REVOKE INSERT ON audit_records FROM tokenvault",
            "GRANT INSERT ON audit_records TO tokenvault",
        ),
        ("ALTER TABLE audit_heads RENAME TO gone", "ALTER TABLE gone RENAME TO audit_heads"),
    ],
)
def test_no_reveal_is_answered_where_the_audit_is_full_or_gone(
    replicas: Replicas, tokens: Sequence[str], away: str, back: str
) -> None:
    asked = tokens[44:45]
    grant = granted(replicas, asked)
    with replicas.analyst() as one, replicas.analyst(1) as two, replicas.owner() as owner:
        owner.execute(away)
        try:
            for each in (one, two):
                assert refused(each, asked, grant) == "AUDIT_UNAVAILABLE"
                assert refusal(partial(each.reveals.get, grant)) == "AUDIT_UNAVAILABLE"
        finally:
            owner.execute(back)
        # Nothing was charged for what was not answered.
        assert one.reveals.get(grant).left == 1
        assert two.detokenize("card", asked, grant=grant).values == ["000000000044"]


def findings(replicas: Replicas) -> Sequence[str]:
    with replicas.servers[0].client("auditor") as client:
        return [f"{each.kind} {each.message}" for each in client.verify_audit().findings]


@pytest.mark.parametrize(
    ("forgery", "kind"),
    [
        (
            "UPDATE reveals SET document = replace(document, '\"times\":2', '\"times\":9')",
            "FORGED_ROW",
        ),
        ("UPDATE reveals SET ends = ends + interval '1 year'", "FORGED_ROW"),
        ("UPDATE reveals SET state = 'granted'", "FORGED_ROW"),
        ("UPDATE reveals SET mac = sha256('x')", "FORGED_ROW"),
        ("UPDATE reveal_tokens SET spent = overlay(spent PLACING '\\x0000' FROM 1)", "FORGED_ROW"),
        ("DELETE FROM reveal_tokens", "ROLLED_BACK"),
    ],
)
def test_what_the_owner_writes_is_worth_nothing(
    replicas: Replicas, tokens: Sequence[str], forgery: str, kind: str
) -> None:
    grant = granted(replicas, tokens[20:21], times=2)
    with replicas.analyst() as analyst, replicas.owner() as owner:
        analyst.detokenize("card", tokens[20:21], grant=grant)
        if "'granted'" in forgery:
            analyst.reveals.revoke(grant)
        owner.execute(f"{forgery} WHERE id = '{grant}'")
        assert refusal(lambda: analyst.detokenize("card", tokens[20:21], grant=grant)) == (
            "GRANT_INVALID"
        )
        found = [each for each in findings(replicas) if grant in each]
        assert [each.split()[0] for each in found] == [kind]
        owner.execute(f"DELETE FROM reveal_tokens WHERE id = '{grant}'")
        owner.execute(f"DELETE FROM reveals WHERE id = '{grant}'")
    (gone,) = [each for each in findings(replicas) if grant in each]
    assert gone.endswith("is gone")


def test_a_reveal_that_is_put_back_is_named(replicas: Replicas, tokens: Sequence[str]) -> None:
    grant = granted(replicas, tokens[30:31])
    tables = ("reveals", "reveal_tokens")
    with replicas.analyst() as analyst, replicas.owner() as owner:
        for table in tables:
            owner.execute(f"CREATE TABLE old_{table} AS TABLE {table}")
        analyst.detokenize("card", tokens[30:31], grant=grant)
        assert not [each for each in findings(replicas) if grant in each]
        for table in tables:
            owner.execute(f"DELETE FROM {table} WHERE id = '{grant}'")
            owner.execute(f"INSERT INTO {table} SELECT * FROM old_{table} WHERE id = '{grant}'")
        analyst.detokenize("card", tokens[30:31], grant=grant)  # genuine, as it was
        (found,) = [each for each in findings(replicas) if grant in each]
        assert found.startswith("ROLLED_BACK")
        assert "has shown 1 tokens, and records 2" in found
        for table in tables:
            owner.execute(f"DROP TABLE old_{table}")


def test_a_grant_of_a_thousand_shows_exactly_a_thousand(
    replicas: Replicas, tokens: Sequence[str], read_audit: Callable[[], list[str]]
) -> None:
    """64 clients on 2 replicas ask for ten times as many."""
    grant = granted(replicas, tokens)
    batches = [
        tokens[at : at + BATCH] for _ in range(ASKED // GRANTED) for at in range(0, GRANTED, BATCH)
    ]
    clients = [replicas.analyst(at % 2) for at in range(CLIENTS)]

    def run(client: Client, mine: Sequence[Sequence[str]]) -> tuple[int, set[str]]:
        shown, reasons = 0, set()
        for batch in mine:
            try:
                shown += len(client.detokenize("card", batch, grant=grant).values)
            except CallError as error:
                reasons.add(str(error.reason))
        return shown, reasons

    with ThreadPoolExecutor(CLIENTS) as pool:
        shares = [batches[at::CLIENTS] for at in range(CLIENTS)]
        answers = list(pool.map(run, clients, shares))
    for client in clients:
        client.close()
    bodies = [json.loads(body) for body in read_audit()]
    charged = sum(body.get("charged", 0) for body in bodies if body.get("grant") == grant)
    with replicas.analyst() as analyst:
        left = analyst.reveals.get(grant).left
    shown = sum(each for each, _ in answers)
    assert (shown, charged, left) == (GRANTED, GRANTED, 0)
    assert set().union(*(reasons for _, reasons in answers)) <= {"GRANT_EXHAUSTED", "OVERLOADED"}


def test_values_are_seen_in_an_emergency_once_until_it_is_reviewed(
    replicas: Replicas, tokens: Sequence[str]
) -> None:
    """Of many at once, on two replicas and by two identities of a person, one is granted."""
    clients = [
        replicas.client("rob@example.org", "responders", subject=f"rob-{at}", replica=at)
        for at in (0, 1, 0, 1)
    ]

    def attempt(client: Client) -> str:
        try:
            made = client.reveals.request("card", tokens[50:52], reason="fire", break_glass=True)
        except CallError as error:
            return str(error.reason)
        return str(made.id)

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(attempt, clients))
    (grant,) = [each for each in answers if each != "REVIEW_REQUIRED"]
    used = clients[answers.index(grant)]
    shown = used.detokenize("card", tokens[50:52], grant=grant)
    assert shown.values == ["000000000050", "000000000051"]
    alerted = [
        line["reveal"]
        for server in replicas.servers
        for line in server.lines()
        if line["event"] == "values are revealed without approval"
    ]
    assert alerted == [grant]
    with replicas.client("ola@example.org", "officers", replica=1) as officer:
        (seen,) = [each for each in officer.reveals.list() if each.may_review]
        assert (seen.id, seen.break_glass, seen.awaits_review) == (grant, True, True)
        with replicas.lead() as lead:
            assert refusal(lambda: lead.reveals.review(grant, "fine")) == "REVEAL_NOT_FOUND"
        with replicas.owner() as owner:
            owner.execute(f"CREATE TEMP TABLE before AS SELECT * FROM reveals WHERE id = '{grant}'")
            assert not officer.reveals.review(grant, "it burned").awaits_review
            owner.execute(f"CREATE TEMP TABLE after AS SELECT * FROM reveals WHERE id = '{grant}'")
            put_back(owner, "before")
            (found,) = [each for each in findings(replicas) if grant in each]
            assert found.startswith("ROLLED_BACK")
            put_back(owner, "after")
    made = used.reveals.request("card", tokens[52:54], reason="again", break_glass=True)
    with replicas.owner() as owner:
        rows = owner.execute(
            "SELECT event::jsonb ->> 'type' FROM webhook_outbox"
            " WHERE event::jsonb ->> 'subject' = %s ORDER BY created",
            [grant],
        )
        kinds = [kind for (kind,) in rows]
        assert kinds == ["tokenvault.reveal.break_glass", "tokenvault.reveal.reviewed"]
        assert [each for each in findings(replicas) if grant in each or made.id in each] == []
        # The owner takes the mark away by which the next one is refused.
        owner.execute(f"UPDATE reveals SET awaits_review = false WHERE id = '{made.id}'")
        assert refused(used, tokens[52:54], made.id) == "GRANT_INVALID"
        (found,) = [each for each in findings(replicas) if made.id in each]
        assert found.startswith("FORGED_ROW")
        owner.execute(f"UPDATE reveals SET awaits_review = true WHERE id = '{made.id}'")
    for each in clients:
        each.close()


def test_reveals_go_on_without_the_receiver_and_its_notices_arrive_once(
    replicas: Replicas, tokens: Sequence[str]
) -> None:
    grant = granted(replicas, tokens[:2])
    with replicas.analyst() as analyst:
        assert analyst.detokenize("card", tokens[:2], grant=grant).values
    with replicas.owner() as owner:
        eventually(lambda: "notices are not delivered" in replicas.servers[0].log.read_text())
        waiting = notices(owner)
        assert len(waiting) >= 2
        owner.execute("UPDATE webhook_outbox SET due = now(), attempts = 0")
        with small_receiver(replicas.receiver_port) as receiver:
            granted(replicas, tokens[:2])
            eventually(lambda: bool(receiver.requests) and not notices(owner))
    ids = [headers["webhook-id"] for _, headers, _ in receiver.requests]
    assert len(ids) == len(set(ids))
    assert {notice for notice, _ in waiting} <= set(ids)
    events = [checked(receiver, at) for at in range(len(receiver.requests))]
    about = [kind for kind, subject in events if subject == grant]
    assert sorted(about) == ["tokenvault.reveal.granted", "tokenvault.reveal.requested"]
    sent = b"".join(body for _, _, body in receiver.requests)
    assert not any(token.encode() in sent for token in tokens[:2])


def put_back(owner: psycopg.Connection[tuple[object, ...]], saved: str) -> None:
    owner.execute(f"DELETE FROM reveals WHERE id = (SELECT id FROM {saved})")
    owner.execute(f"INSERT INTO reveals SELECT * FROM {saved}")


def checked(receiver: SmallReceiver, at: int) -> tuple[str, str]:
    """Returns a request's type and subject; it must be a CloudEvent with our signature."""
    _, headers, body = receiver.requests[at]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.digest(WEBHOOK_KEY, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    event = from_http_event(HTTPMessage(dict(headers), body))
    assert event.get_id() == headers["webhook-id"]
    assert event.get_source() == "/test"
    assert event.get_specversion() == "1.0"
    assert event.get_time() is not None
    return event.get_type(), str(event.get_subject())


def notices(owner: psycopg.Connection[tuple[object, ...]]) -> Sequence[tuple[str, str]]:
    """Returns id and event of those that are not sent yet."""
    rows = owner.execute("SELECT id::text, event FROM webhook_outbox")
    return [(str(notice), str(event)) for notice, event in rows]
