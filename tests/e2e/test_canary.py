"""No value and no key where none may be: logs, metrics, traces, error details, audit, database.

Every path that a value can take, the failing ones too, is walked with canary values.
This test stays green for ever.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import grpc
import psycopg
import pytest

from tests.e2e.canaries import BROKEN, GOOD, SCAN, assert_no_canary, disguises
from tests.e2e.collector import collecting
from vault.client import CallError, Client, ClientJwt, ItemError
from vault.config import KeysSettings
from vault.crypto.field_key import data_key_context
from vault.dev.issuer import JwtIssuer
from vault.dev.ports import persistent_port
from vault.dev.postgres import find_binaries
from vault.keys.hashicorp import HashicorpKeyWrapper
from vault.v1 import freeze_service_pb2 as freezes
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

IDP = "https://idp.example.org"


@pytest.fixture(scope="module")
def traces(start_server: StartServer, site: Site) -> dict[str, bytes]:
    """Walks every path with canaries; returns what was left behind, by place."""
    home = site.directory / "searched"
    home.mkdir()
    issuer = JwtIssuer(home)
    with collecting(site) as collector:
        server = start_server(
            "searched",
            {
                "tracing": {
                    "endpoint": f"https://localhost:{collector.port}",
                    "ca": str(site.authority.certificate_path),
                    "sample_ratio": 1,
                    "queue": 100_000,
                },
                "jwt": {"port": persistent_port(home / "jwt_port")},
                "jwt.issuers#1": {
                    "issuer": IDP,
                    "audience": "tokenvault",
                    "algorithms": ["ES256"],
                    "jwks_file": str(issuer.jwks_path),
                },
            },
        )
        details = [
            *_tokens(server),
            *_bytes(server),
            *_unparsed(server),
            *_auditing(server),
            *_bearers(server, issuer, home),
        ]
        with urlopen(f"http://{server.metrics}/metrics", timeout=5) as page:
            metrics = page.read()
        server.stop()
    assert b'outcome="dropped"' not in metrics
    return {
        "traces": collector.raw(),
        "error details": "\n".join(details).encode(),
        "metrics": metrics,
        "log": server.log.read_bytes(),
        "database": _dump(site),
        "audit's tail": TAIL[0],
    }


def _tokens(server: Server) -> Iterator[str]:
    with ExitStack() as stack:
        roles = ("pipeline", "support", "fraud-analyst", "steward", "restore-pipeline")
        officer = stack.enter_context(server.client("privacy-officer"))
        clients = {role: stack.enter_context(server.client(role)) for role in roles}
        for field, values in GOOD.items():
            column = clients["pipeline"].tokenize(field, [*values, *BROKEN])
            assert column.errors
            assert not column.errors.keys() & set(range(len(values)))
            back = clients["restore-pipeline"].detokenize(field, column.values[: len(values)])
            assert back.values == values
            yield from _details(column.errors)
            yield from _details(clients["steward"].lookup(field, [*values, *BROKEN]).errors)
            # Values where tokens belong: the likeliest mistake of a caller.
            yield from _details(clients["restore-pipeline"].detokenize(field, values).errors)
            yield from _details(clients["steward"].describe(field, [*values, *BROKEN]).errors)
            if field != "account_id":
                # Broken tokens and values: their tokens are needed by what comes after.
                yield from _details(officer.erase(field, tokens=[*BROKEN, *values]).errors)
                yield from _details(officer.erase(field, values=BROKEN).errors)
            for role in ("pipeline", "support", "steward"):
                yield _refusal(clients[role], field, values, view=values[0])
            yield _refusal(clients["fraud-analyst"], values[0], values)
            yield _refusal(clients["support"], field, values * 20_000)
            # And where a caller says what a call is for.
            for role in clients:
                yield from _justified(clients[role], field, column.values[:1], values[0])


def _bytes(server: Server) -> Iterator[str]:
    with server.client("crypto-service") as client:
        sealed = client.encrypt("national_id", [SCAN], SCAN)
        assert client.decrypt("national_id", sealed.values, SCAN).values == [SCAN]
        yield from _details(
            client.decrypt("national_id", [SCAN, sealed.values[0]], b"other").errors
        )
        with pytest.raises(CallError) as caught:
            client.encrypt("national_id", [SCAN], SCAN * 100)
        yield repr(caught.value)


def _unparsed(server: Server) -> Iterator[str]:
    """A raw caller: more than a message may hold, and a batch larger than allowed."""
    credentials = server.site.tls("pipeline").credentials()
    with grpc.secure_channel(server.address, credentials) as channel:
        stub = TokenizationServiceStub(channel)
        for count in (10_001, 400_000):
            request = messages.TokenizeRequest(field="us_ssn", values=GOOD["us_ssn"] * count)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Tokenize(request, timeout=10)
            yield repr(caught.value)


def _auditing(server: Server) -> Iterator[str]:
    with server.client("auditor") as auditor, server.client("pipeline") as pipeline:
        assert list(auditor.verify_audit().findings) == []
        while (tail := auditor.tail_audit(limit=1_000)).lag:
            time.sleep(0.1)
        assert len(tail.records) > 10
        TAIL.append(str(tail).encode() + tail.SerializeToString())
        auditor.get_policy()
        for call in (pipeline.verify_audit, pipeline.get_policy):
            with pytest.raises(CallError) as caught:
                call()
            yield f"{caught.value!r} {caught.value}"


def _bearers(server: Server, issuer: JwtIssuer, home: Path) -> Iterator[str]:
    """Callers with a JWT: a good one, one without a role, and one whose signature is not."""
    now = int(time.time())
    claims = {"iss": IDP, "aud": "tokenvault", "iat": now, "exp": now + 300, "jti": "good"}
    mine = issuer.sign({**claims, "sub": "alice", "groups": ["pipeline"]})
    other = issuer.sign({**claims, "sub": "bob", "groups": ["quetzal canary"]})
    ca = server.site.authority.certificate_path
    for n, token in enumerate((mine, other, f"{mine[:-8]}AAAAAAAA", SCAN.hex())):
        BEARERS.append(token)
        file = home / f"bearer-{n}"
        file.touch(0o600)
        file.write_text(token)
        with Client(server.jwt_address, ClientJwt(ca, file)) as client:
            try:
                client.tokenize("us_ssn", [*GOOD["us_ssn"], *BROKEN])
            except CallError as error:
                yield f"{error!r} {error}"
            else:
                assert token == mine


BEARERS: list[str] = []
TAIL: list[bytes] = []


def _details(errors: Mapping[int, ItemError]) -> Iterator[str]:
    yield from (repr(error) for error in errors.values())


def _refusal(client: Client, field: str, tokens: Sequence[str], view: str = "") -> str:
    try:
        client.detokenize(field, list(tokens), view)
    except CallError as error:
        return f"{error!r} {error}"
    return ""


def _justified(
    client: Client, field: str, tokens: Sequence[str | None], value: str
) -> Iterator[str]:
    """Calls that write a value into all that says what they are for; each is refused."""
    token = str(tokens[0])
    calls: list[Callable[[], object]] = [
        lambda: client.detokenize(field, [token], purpose=value),
        lambda: client.detokenize(field, [token], ticket=value),
        lambda: client.detokenize(field, [token], grant=value),
        lambda: client.decrypt(field, [SCAN], purpose=value, ticket=value, grant=value),
        lambda: client.reveals.request(
            field, [token, value], reason=value, view=value, purpose=value, ticket=value
        ),
        lambda: client.reveals.deny(value, value),
        lambda: client.honey.add(field, value, [token, value]),
        lambda: client.honey.retire(value),
        lambda: client.freezes.freeze(freezes.FreezeTarget(principal=value), value),
        lambda: client.freezes.lift(freezes.FreezeTarget(principal=value), value),
    ]
    for call in calls:
        with pytest.raises(CallError) as caught:
            call()
        yield f"{caught.value!r} {caught.value}"


def _dump(site: Site) -> bytes:
    """The whole database as pg_dump writes it, and the bytes behind every bytea."""
    conninfo = site.postgres.superuser_conninfo(site.database.name)
    dump = subprocess.run(
        [find_binaries() / "pg_dump", "--inserts", f"--dbname={conninfo}"],
        check=True,
        capture_output=True,
    ).stdout
    assert b"INSERT INTO public.tokens" in dump
    raw = b"".join(bytes.fromhex(part.split(b"'")[0].decode()) for part in dump.split(b"'\\x")[1:])
    assert raw
    return dump + raw


PLACES = ["error details", "metrics", "log", "database", "traces", "audit's tail"]


@pytest.mark.parametrize("place", PLACES)
def test_no_value_is_there(traces: dict[str, bytes], place: str) -> None:
    assert_no_canary(traces[place], place)


def test_the_search_would_find_a_value(traces: dict[str, bytes]) -> None:
    # What is there on purpose is found, so the search above can fail.
    assert b"CARD_NUMBER" in traces["database"].upper()
    assert b"VALUE_NOT_IN_FORMAT" in traces["error details"]
    assert b"Detokenize" in traces["log"]
    assert b"alice" in traces["log"]
    assert b"UNAUTHENTICATED" in traces["log"]
    # Every RPC there is was walked, and every kind of refusal.
    for rpc in ("Tokenize", "Detokenize", "Lookup", "Describe", "Encrypt", "Decrypt"):
        assert b"Service/" + rpc.encode() in traces["traces"]
    for rpc in ("VerifyAudit", "GetPolicy"):
        assert rpc.encode() in traces["traces"]
    for reason in (b"DENIED", b"FIELD_NOT_FOUND", b"BATCH_TOO_LARGE", b"UNAUTHENTICATED"):
        assert reason in traces["traces"]
    assert b"card_number" in traces["traces"]


@pytest.mark.parametrize("place", PLACES)
def test_no_bearer_token_is_there(traces: dict[str, bytes], place: str) -> None:
    assert len(BEARERS) == 4
    for token in BEARERS:
        # The whole, and a signature on its own.
        for part in (token, token.rpartition(".")[2]):
            assert traces[place].find(part.encode()) == -1, f"a bearer token is in the {place}"


def test_no_trace_names_a_caller(traces: dict[str, bytes]) -> None:
    for caller in (b"spiffe://", b"alice", b"127.0.0.1"):
        assert traces["traces"].find(caller) == -1


def test_no_key_is_there(traces: dict[str, bytes], site: Site) -> None:
    keys = _unwrapped(site)
    assert len(keys) >= 2 * len(GOOD) + 1
    for place, seen in traces.items():
        for key in keys:
            for disguise in disguises(key):
                assert seen.find(disguise) == -1, f"an unwrapped key is in the {place}"


def _unwrapped(site: Site) -> list[bytes]:
    conninfo = site.postgres.superuser_conninfo(site.database.name)
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute(
            "SELECT tenant, field, purpose, version, wrapped FROM data_keys"
        ).fetchall()
    settings = KeysSettings.model_validate(
        {
            "address": site.openbao.address,
            "ca": str(site.openbao.ca),
            "key_name": site.approle.key_name,
            "auth": {
                "method": "approle",
                "role_id_file": str(site.approle.role_id_file),
                "secret_id_file": str(site.approle.secret_id_file),
            },
        }
    )
    wrapper = HashicorpKeyWrapper(settings)
    wrapper.log_in()
    try:
        items = [(data_key_context(*row[:4]), row[4]) for row in rows]
        return list(wrapper.unwrap(items))
    finally:
        wrapper.close()
