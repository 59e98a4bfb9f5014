"""No value in what a server in trouble says: overload, outages, a bug, tokens it refuses.

The other half of ``test_canary.py``. Each trouble is met with canaries in the request, and
everything that is left behind is searched: what callers were told, the log, metrics, audit
and Postgres's own log.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.request import urlopen

import grpc
import psycopg
import pytest

from tests.e2e.canaries import BROKEN, GOOD, SCAN, assert_no_canary, refusal_of
from tests.e2e.conftest import audit_bodies
from vault.dev.issuer import JwtIssuer
from vault.dev.openbao import service_policy
from vault.dev.ports import persistent_port
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

IDP = "https://idp.example.org"
FIELD = "person_name"
VALUES = [*GOOD[FIELD], "Quetzal Number Two", *BROKEN]
LIFETIME = 4  # seconds


@dataclass
class Caller:
    """Raw calls: nothing repeated, nothing hidden of what the server says."""

    channel: grpc.Channel
    token: str = ""

    def ask(self, rpc: str, *, timeout: float = 10.0) -> str:
        """Makes a call that must fail; returns all it was told."""
        stub = TokenizationServiceStub(self.channel)
        requests = {
            "Tokenize": messages.TokenizeRequest(field=FIELD, values=VALUES),
            "Detokenize": messages.DetokenizeRequest(field=FIELD, tokens=VALUES),
            "Lookup": messages.LookupRequest(field=FIELD, values=VALUES),
            "Describe": messages.DescribeRequest(field=FIELD, tokens=VALUES),
            "Erase": messages.EraseRequest(field=FIELD, values=VALUES),
            "EraseSpellings": messages.EraseSpellingsRequest(field=FIELD, values=VALUES),
        }
        metadata = [("authorization", f"Bearer {self.token}")] if self.token else None
        return refusal_of(
            lambda: getattr(stub, rpc)(requests[rpc], timeout=timeout, metadata=metadata)
        )


@contextmanager
def calling(server: Server, identity: str) -> Iterator[Caller]:
    credentials = server.site.tls(identity).credentials()
    with grpc.secure_channel(server.address, credentials) as channel:
        yield Caller(channel)


@contextmanager
def superuser(site: Site) -> Iterator[psycopg.Connection]:
    with psycopg.connect(site.database.superuser_conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def said(start_server: StartServer, site: Site) -> dict[str, str]:
    """Meets every trouble; returns what callers were told, by its name."""
    # The run's Postgres has other tests' rows in its log, canaries of theirs among them.
    logged_before = site.postgres.log.stat().st_size
    with superuser(site) as admin:
        # As Postgres is outside of a development environment: it logs failed statements.
        admin.execute(f"ALTER DATABASE {site.database.name} SET log_min_error_statement = error")
    home = site.directory / "troubled"
    home.mkdir()
    issuer = JwtIssuer(home)
    server = start_server(
        "troubled",
        {
            "server": {"max_workers": 1, "max_concurrent_per_principal": 1},
            "keys": {"lifetime": f"{LIFETIME}s"},
            "jwt": {"port": persistent_port(home / "jwt_port")},
            "jwt.issuers#1": {
                "issuer": IDP,
                "audience": "tokenvault",
                "algorithms": ["ES256"],
                "jwks_file": str(issuer.jwks_path),
            },
        },
        module="tests.e2e.failing_server",
    )
    with server.client("pipeline") as pipeline:
        pipeline.tokenize(FIELD, GOOD[FIELD])
    found = {
        **_bug(server),
        **_database(server, site),
        **_overload(server, site),
        **_bearers(server, issuer),
        **_keys(server, site),
    }
    with urlopen(f"http://{server.metrics}/metrics", timeout=5) as page:
        LEFT["metrics"] = page.read()
    server.stop()
    LEFT["log"] = server.log.read_bytes()
    LEFT["Postgres's log"] = site.postgres.log.read_bytes()[logged_before:]
    return found


LEFT: dict[str, bytes] = {}


def _bug(server: Server) -> dict[str, str]:
    with calling(server, "steward") as steward:
        return {"bug in Lookup": steward.ask("Lookup"), "bug in Describe": steward.ask("Describe")}


def _database(server: Server, site: Site) -> dict[str, str]:
    """A table of tokens and one of the audit are unavailable, each for a moment."""
    found = {}
    for table in ("tokens", "audit_heads"):
        with (
            superuser(site) as admin,
            calling(server, "pipeline") as pipeline,
            calling(server, "restore-pipeline") as owner,
            calling(server, "privacy-officer") as officer,
        ):
            admin.execute(f"ALTER TABLE {table} RENAME TO away")
            try:
                found[f"{table} away, Tokenize"] = pipeline.ask("Tokenize")
                found[f"{table} away, Detokenize"] = owner.ask("Detokenize")
                found[f"{table} away, Erase"] = officer.ask("Erase")
                found[f"{table} away, EraseSpellings"] = officer.ask("EraseSpellings")
            finally:
                admin.execute(f"ALTER TABLE away RENAME TO {table}")
    return found


def _overload(server: Server, site: Site) -> dict[str, str]:
    """One call waits for a lock and has the caller's only place; the next finds none."""
    with superuser(site) as admin, calling(server, "pipeline") as pipeline, admin.transaction():
        admin.execute("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(pipeline.ask, "Tokenize", timeout=3)
            time.sleep(1)
            refused = pipeline.ask("Tokenize")
            return {"no place": refused, "too late": waiting.result()}


def _bearers(server: Server, issuer: JwtIssuer) -> dict[str, str]:
    now = int(time.time())
    claims: dict[str, object] = {"iss": IDP, "aud": "tokenvault", "iat": now, "exp": now + 300}
    claims.update(jti=VALUES[0], sub=VALUES[1], name=VALUES[0], groups=GOOD["card_number"])
    good = issuer.sign(claims)
    tokens = {
        "expired": issuer.sign({**claims, "exp": now - 600}),
        "another issuer": issuer.sign({**claims, "iss": f"https://{GOOD['card_number'][0]}"}),
        "another audience": issuer.sign({**claims, "aud": VALUES[1]}),
        "odd type": issuer.sign({**claims, "exp": VALUES[1]}),
        "forged": f"{good[:-8]}AAAAAAAA",
        "no token": SCAN.hex(),
        "no role": issuer.sign({**claims, "sub": "bob"}),
    }
    ca = server.site.authority.certificate_path.read_bytes()
    found = {}
    with grpc.secure_channel(server.jwt_address, grpc.ssl_channel_credentials(ca)) as channel:
        for name, token in tokens.items():
            found[f"token: {name}"] = Caller(channel, token).ask("Tokenize")
    return found


def _keys(server: Server, site: Site) -> dict[str, str]:
    """The key server no longer opens data keys, for longer than the keys live."""
    policy = f"sys/policies/acl/{site.approle.key_name}-service"
    left = service_policy().replace("transit/decrypt/", "transit/decrypt-not/")
    with calling(server, "pipeline") as pipeline:
        site.openbao.admin().write(policy, {"policy": left})
        try:
            # From memory until their lifetime ends; readiness says so before that.
            server.await_health("readiness", serving=False)
            time.sleep(LIFETIME)
            return {"no keys": pipeline.ask("Tokenize")}
        finally:
            site.openbao.admin().write(policy, {"policy": service_policy()})


def test_every_trouble_was_met(said: dict[str, str]) -> None:
    reasons = {
        "bug in Lookup": "INTERNAL",
        "bug in Describe": "INTERNAL",
        "tokens away, Tokenize": "STORE_UNAVAILABLE",
        "tokens away, Detokenize": "STORE_UNAVAILABLE",
        "tokens away, Erase": "STORE_UNAVAILABLE",
        "tokens away, EraseSpellings": "STORE_UNAVAILABLE",
        "audit_heads away, Tokenize": "AUDIT_UNAVAILABLE",
        "audit_heads away, Detokenize": "AUDIT_UNAVAILABLE",
        "audit_heads away, Erase": "AUDIT_UNAVAILABLE",
        "audit_heads away, EraseSpellings": "AUDIT_UNAVAILABLE",
        "no place": "OVERLOADED",
        "too late": "DEADLINE_EXCEEDED",
        "no keys": "KEYS_UNAVAILABLE",
        "token: no role": "DENIED",
    }
    for name, told in said.items():
        assert reasons.get(name, "UNAUTHENTICATED") in told, name


def test_nobody_was_told_a_value(said: dict[str, str]) -> None:
    for name, told in said.items():
        assert_no_canary(told.encode(), name)


def test_no_value_was_left_behind(said: dict[str, str], site: Site) -> None:
    assert said
    for seen in (b"RuntimeError", b"OVERLOADED", b"KEYS_UNAVAILABLE", b"AUDIT_UNAVAILABLE"):
        assert LEFT["log"].find(seen) >= 0, seen
    places = {
        **LEFT,
        "audit": "\n".join(audit_bodies(site)).encode(),
    }
    assert places["Postgres's log"].find(b"STATEMENT") >= 0
    for place, seen in places.items():
        assert_no_canary(seen, place)
