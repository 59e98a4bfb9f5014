"""The JWT listener of a running server: who is let in, who is not, and what is reloaded."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.rpc import error_details_pb2, status_pb2

from vault.client import CallError, Client, ClientJwt, ClientTls
from vault.dev.authority import Authority
from vault.dev.issuer import JwtIssuer
from vault.dev.ports import persistent_port
from vault.v1.tokenization_service_pb2 import DetokenizeRequest, TokenizeRequest
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

IDP = "https://idp.example.org"
OTHER = "https://other.example.org"
CARD = "4111111111111111"


def claims(group: str = "pipeline", **changes: object) -> dict[str, object]:
    now = int(time.time())
    made = {
        "iss": IDP,
        "aud": "tokenvault",
        "sub": "alice",
        "jti": f"id-{group}",
        "iat": now,
        "exp": now + 300,
        "groups": [group],
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


@dataclass
class Jwt:
    """A server with both listeners, and the issuers that it believes."""

    site: Site
    server: Server
    ours: JwtIssuer
    theirs: JwtIssuer
    ca: Path

    def call(self, token: str | None, address: str = "", tls: ClientTls | None = None) -> str:
        """Tokenizes one card; returns ``ok`` or the reason."""
        pair = (tls.key.read_bytes(), tls.cert.read_bytes()) if tls else (None, None)
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes(), *pair)
        metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
        options = (("grpc.use_local_subchannel_pool", 1),)
        target = address or self.server.jwt_address
        with grpc.secure_channel(target, credentials, options=options) as channel:
            ask = TokenizeRequest(field="card_number", values=[CARD])
            try:
                TokenizationServiceStub(channel).Tokenize(ask, timeout=10, metadata=metadata)
            except grpc.RpcError as error:
                return f"{error.code().name} {_reason(error)}".strip()
        return "ok"

    def client(self, token: str, private_tmp: Path) -> Client:
        path = private_tmp / "token"
        path.write_text(f"{token}\n")
        return Client(self.server.jwt_address, ClientJwt(self.ca, path))


def _reason(error: grpc.RpcError) -> str:
    metadata = cast("Iterable[tuple[str, bytes]] | None", error.trailing_metadata())
    details = dict(metadata or ()).get("grpc-status-details-bin")
    if details is None:
        return ""
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(details).details[0].Unpack(info)
    return str(info.reason)


@pytest.fixture(scope="module")
def site_jwt(site: Site, start_server: StartServer) -> Jwt:
    home = site.directory / "jwt"
    home.mkdir()
    # Files of its own, which the tests replace under it.
    pair = site.authority.issue_server("server")
    for source, name in ((pair.cert, "server.pem"), (pair.key, "server.key")):
        replace(home / name, source.read_bytes())
    replace(home / "clients.pem", site.authority.certificate_path.read_bytes())
    ours, theirs = JwtIssuer(home / "ours"), JwtIssuer(home / "theirs")

    def issuer(name: str, keys: JwtIssuer) -> Mapping[str, str | list[str]]:
        return {
            "issuer": name,
            "audience": "tokenvault",
            "algorithms": ["ES256"],
            "jwks_file": str(keys.jwks_path),
            "leeway": "1s",
            "person_claim": "oid",
        }

    server = start_server(
        "jwt",
        {
            "server": {
                "cert": str(home / "server.pem"),
                "key": str(home / "server.key"),
                "client_ca": str(home / "clients.pem"),
            },
            "jwt": {"port": persistent_port(home / "jwt_port")},
            "jwt.issuers#1": issuer(IDP, ours),
            "jwt.issuers#2": issuer(OTHER, theirs),
        },
    )
    return Jwt(site, server, ours, theirs, site.authority.certificate_path)


@pytest.fixture
def keep_files(site_jwt: Jwt) -> Iterator[Path]:
    """Puts back what a test replaces."""
    home = site_jwt.server.settings.parent
    names = ["server.pem", "server.key", "clients.pem", "ours/jwks.json"]
    before = {name: (home / name).read_bytes() for name in names}
    yield home
    for name, content in before.items():
        replace(home / name, content)


def replace(path: Path, content: bytes) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(content)
    copy.chmod(0o600)
    copy.replace(path)


def test_a_group_has_its_role_and_no_other(site_jwt: Jwt, private_tmp: Path) -> None:
    with site_jwt.client(site_jwt.ours.sign(claims("pipeline")), private_tmp) as client:
        (token,) = client.tokenize("card_number", [CARD]).values
        with pytest.raises(CallError) as caught:
            client.detokenize("card_number", [token])
    assert (caught.value.code, caught.value.reason) == ("PERMISSION_DENIED", "DENIED")
    for group, seen in (("fraud", CARD), ("support", "************1111")):
        with site_jwt.client(site_jwt.ours.sign(claims(group)), private_tmp) as client:
            assert client.detokenize("card_number", [token]).values == [seen]


def test_the_audit_names_issuer_subject_and_token_but_no_group(
    site_jwt: Jwt, private_tmp: Path, read_audit: Callable[[], list[str]]
) -> None:
    token = site_jwt.ours.sign(claims("fraud", sub="bob", jti="jti-of-bob"))
    with site_jwt.client(token, private_tmp) as client, pytest.raises(CallError) as caught:
        client.tokenize("card_number", [CARD])
    (body,) = [each for each in read_audit() if caught.value.request_id in each]
    record = json.loads(body)
    assert record["principal"] == f"{IDP}#bob"
    assert record["credential"] == "jti-of-bob"
    assert record["roles"] == ["fraud_analyst"]
    assert "fraud" not in body.replace("fraud_analyst", "")
    log = site_jwt.server.log.read_text()
    assert f"{IDP}#bob" in log
    assert token not in log
    assert token.split(".")[2] not in log


def test_the_audit_names_the_person_and_of_a_workload_none(
    site_jwt: Jwt, private_tmp: Path, read_audit: Callable[[], list[str]]
) -> None:
    now = int(time.time())
    person: dict[str, object] = {"oid": "E7", "auth_time": now - 60}
    callers: dict[str, dict[str, object]] = {"ann": person, "ann-2": person, "etl": {}}
    for name, more in callers.items():
        token = site_jwt.ours.sign(claims("pipeline", sub=name, jti=f"jti-of-{name}", **more))
        with site_jwt.client(token, private_tmp) as client:
            assert client.tokenize("card_number", [CARD]).errors == {}
    records = {record.get("credential"): record for record in map(json.loads, read_audit())}
    for name in ("ann", "ann-2"):
        record = records[f"jti-of-{name}"]
        assert record["principal"] == f"{IDP}#{name}"
        assert record["person"] == {"issuer": IDP, "claim": "oid", "value": "E7"}
        assert datetime.fromisoformat(record["auth_time"]).timestamp() == now - 60
    assert not {"person", "auth_time"} & records["jti-of-etl"].keys()


def test_a_replaced_token_file_counts_at_the_next_call(site_jwt: Jwt, private_tmp: Path) -> None:
    path = private_tmp / "token"
    with site_jwt.client(site_jwt.ours.sign(claims("nobody")), private_tmp) as client:
        with pytest.raises(CallError, match="DENIED"):
            client.tokenize("card_number", [CARD])
        path.write_text(site_jwt.ours.sign(claims("pipeline")))
        assert client.tokenize("card_number", [CARD]).errors == {}
        path.unlink()
        with pytest.raises(CallError) as caught:
            client.tokenize("card_number", [CARD])
    assert caught.value.code == "UNAVAILABLE"


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def header(token: str) -> dict[str, object]:
    return dict(jwt.get_unverified_header(token))


def resigned(issuer: JwtIssuer, **more: object) -> str:
    """A token of the issuer's key with other headers; None takes one away."""
    head = {**header(issuer.sign(claims())), **more}
    key = serialization.load_pem_private_key(
        issuer.jwks_path.with_name("issuer.key").read_bytes(), None
    )
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    kept = {name: value for name, value in head.items() if value is not None}
    return jwt.encode(claims(), key, algorithm="ES256", headers=kept)


def with_public_key_as_secret(issuer: JwtIssuer) -> str:
    (entry,) = json.loads(issuer.jwks_path.read_bytes())["keys"]
    pem = jwt.PyJWK(entry).key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    text = f"{part({**header(issuer.sign(claims())), 'alg': 'HS256'})}.{part(claims())}"
    mac = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def unsigned(issuer: JwtIssuer) -> str:
    return f"{part({**header(issuer.sign(claims())), 'alg': 'none'})}.{part(claims())}.AA"


def with_key_of_its_own(issuer: JwtIssuer) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    head = {**header(issuer.sign(claims())), "jwk": public}
    return jwt.encode(claims(), key, algorithm="ES256", headers=head)


Make = Callable[[JwtIssuer, JwtIssuer], str]
REFUSED: dict[str, Make] = {
    "expired": lambda ours, _: ours.sign(claims(exp=int(time.time()) - 5)),
    "no exp": lambda ours, _: ours.sign(claims(exp=None)),
    "no iat": lambda ours, _: ours.sign(claims(iat=None)),
    "no sub": lambda ours, _: ours.sign(claims(sub=None)),
    "no aud": lambda ours, _: ours.sign(claims(aud=None)),
    "future nbf": lambda ours, _: ours.sign(claims(nbf=int(time.time()) + 60)),
    "future iat": lambda ours, _: ours.sign(claims(iat=int(time.time()) + 60)),
    "wrong audience": lambda ours, _: ours.sign(claims(aud="billing")),
    "wrong issuer": lambda ours, _: ours.sign(claims(iss="https://evil.example")),
    "another issuer's name": lambda ours, _: ours.sign(claims(iss=OTHER)),
    "our name by another issuer": lambda _, theirs: theirs.sign(claims()),
    "alg none": lambda ours, _: unsigned(ours),
    "HS256 with the public key": lambda ours, _: with_public_key_as_secret(ours),
    "unknown kid": lambda ours, _: resigned(ours, kid="unknown"),
    "no kid": lambda ours, _: resigned(ours, kid=None),
    "jku": lambda ours, _: resigned(ours, jku="https://evil.example/jwks.json"),
    "x5u": lambda ours, _: resigned(ours, x5u="https://evil.example/cert.pem"),
    "x5c": lambda ours, _: resigned(ours, x5c=["AA=="]),
    "jwk": lambda ours, _: with_key_of_its_own(ours),
    "no token": lambda ours, _: "nonsense",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_with_a_token_is_an_end_of_it(site_jwt: Jwt, name: str) -> None:
    token = REFUSED[name](site_jwt.ours, site_jwt.theirs)
    assert site_jwt.call(token) == "UNAUTHENTICATED UNAUTHENTICATED"
    log = site_jwt.server.log.read_text()
    assert token == "nonsense" or token not in log


def test_a_good_token_beside_them_passes(site_jwt: Jwt) -> None:
    assert site_jwt.call(site_jwt.ours.sign(claims())) == "ok"


def test_another_issuers_group_of_the_same_name_has_no_role(site_jwt: Jwt) -> None:
    token = site_jwt.theirs.sign(claims(iss=OTHER))
    assert site_jwt.call(token) == "PERMISSION_DENIED DENIED"


def test_a_spiffe_id_as_subject_is_nobody(site_jwt: Jwt) -> None:
    token = site_jwt.ours.sign(claims("nothing", sub="spiffe://example.org/pipeline"))
    assert site_jwt.call(token) == "PERMISSION_DENIED DENIED"


def test_a_token_is_nothing_to_the_mtls_listener(site_jwt: Jwt) -> None:
    token, address = site_jwt.ours.sign(claims("pipeline")), site_jwt.server.address
    # Without a certificate there is no connection.
    assert site_jwt.call(token, address) == "UNAVAILABLE"
    # With one the certificate's rights count, not the token's.
    support = site_jwt.site.tls("support")
    assert site_jwt.call(token, address, support) == "PERMISSION_DENIED DENIED"
    pipeline = site_jwt.site.tls("pipeline")
    assert site_jwt.call(site_jwt.ours.sign(claims("nobody")), address, pipeline) == "ok"


def test_a_certificate_is_nothing_to_the_jwt_listener(site_jwt: Jwt) -> None:
    pipeline = site_jwt.site.tls("pipeline")
    assert site_jwt.call(None, tls=pipeline) == "UNAUTHENTICATED UNAUTHENTICATED"
    nobody = site_jwt.ours.sign(claims("nobody"))
    assert site_jwt.call(nobody, tls=pipeline) == "PERMISSION_DENIED DENIED"
    stranger = site_jwt.site.tls("stranger")
    assert site_jwt.call(site_jwt.ours.sign(claims()), tls=stranger) == "ok"


def test_refused_tokens_are_counted_in_the_audit_by_listener(
    site: Site, site_jwt: Jwt, start_server: StartServer, read_audit: Callable[[], list[str]]
) -> None:
    home = site.directory / "counted"
    home.mkdir()
    server = start_server(
        "counted",
        {
            "jwt": {"port": persistent_port(home / "jwt_port")},
            "jwt.issuers#1": {
                "issuer": IDP,
                "audience": "tokenvault",
                "algorithms": ["ES256"],
                "jwks_file": str(site_jwt.ours.jwks_path),
            },
        },
    )
    counted = Jwt(site, server, site_jwt.ours, site_jwt.theirs, site_jwt.ca)
    expired = site_jwt.ours.sign(claims(exp=int(time.time()) - 100))
    for _ in range(3):
        assert counted.call(expired) == "UNAUTHENTICATED UNAUTHENTICATED"
    assert server.stop() == 0
    found = [each for each in map(json.loads, read_audit()) if each.get("peer") == "listener:jwt"]
    (record,) = [each for each in found if each["purpose"] == "the token has expired"]
    assert record["counts"] == {"calls": 3}
    assert record["principal"] == ""


def test_several_workers_share_the_jwt_port(
    site: Site, site_jwt: Jwt, start_server: StartServer
) -> None:
    home = site.directory / "jwt-workers"
    home.mkdir()
    server = start_server(
        "jwt-workers",
        {
            "server": {"workers": 2, "lock_directory": str(home)},
            "jwt": {"port": persistent_port(home / "jwt_port")},
            "jwt.issuers#1": {
                "issuer": IDP,
                "audience": "tokenvault",
                "algorithms": ["ES256"],
                "jwks_file": str(site_jwt.ours.jwks_path),
            },
        },
    )
    shared = Jwt(site, server, site_jwt.ours, site_jwt.theirs, site_jwt.ca)
    assert {shared.call(site_jwt.ours.sign(claims())) for _ in range(10)} == {"ok"}
    refused = {shared.call(site_jwt.theirs.sign(claims())) for _ in range(10)}
    assert refused == {"UNAUTHENTICATED UNAUTHENTICATED"}
    assert server.stop() == 0


def test_a_new_signing_key_counts_and_the_old_one_ends_without_a_restart(
    site_jwt: Jwt, keep_files: Path
) -> None:
    jwks = keep_files / "ours/jwks.json"
    fresh = JwtIssuer(keep_files / "fresh")
    old_token, new_token = site_jwt.ours.sign(claims()), fresh.sign(claims())
    assert site_jwt.call(new_token) == "UNAUTHENTICATED UNAUTHENTICATED"
    old = json.loads(jwks.read_bytes())["keys"]
    new = json.loads(fresh.jwks_path.read_bytes())["keys"]
    replace(jwks, json.dumps({"keys": old + new}).encode())
    assert [site_jwt.call(each) for each in (old_token, new_token)] == ["ok", "ok"]
    replace(jwks, json.dumps({"keys": new}).encode())
    assert site_jwt.call(new_token) == "ok"
    assert site_jwt.call(old_token) == "UNAUTHENTICATED UNAUTHENTICATED"
    replace(jwks, b"{")
    assert site_jwt.call(new_token) == "ok"
    # Not lines(): gRPC writes of failed handshakes in its own way.
    told = [each for each in site_jwt.server.log.read_text().splitlines() if "refused" in each]
    assert "not JSON" in told[-1]


def test_certificates_and_authority_are_replaced_without_a_restart(
    site_jwt: Jwt, keep_files: Path, private_tmp: Path
) -> None:
    process = site_jwt.server.process.pid
    other = Authority(private_tmp / "other")
    files = other.issue_client("pipeline", "spiffe://example.org/pipeline")
    caller = ClientTls(other.certificate_path, files.cert, files.key)
    address, token = site_jwt.server.address, site_jwt.ours.sign(claims())
    assert site_jwt.call(None, address, caller) == "UNAVAILABLE"
    # The new authority for callers, the old certificate of the server.
    replace(keep_files / "clients.pem", other.certificate_path.read_bytes())
    assert site_jwt.call(None, address, caller) == "ok"
    assert site_jwt.call(None, address, site_jwt.site.tls("pipeline")) == "UNAVAILABLE"
    # A key without its certificate is refused, and the old pair serves on.
    pair = other.issue_server("server")
    replace(keep_files / "server.key", pair.key.read_bytes())
    assert site_jwt.call(token) == "ok"
    replace(keep_files / "server.pem", pair.cert.read_bytes())
    assert site_jwt.call(token) == "UNAVAILABLE"
    there = Jwt(site_jwt.site, site_jwt.server, site_jwt.ours, site_jwt.theirs, caller.ca)
    assert there.call(token) == "ok"
    assert there.call(None, address, caller) == "ok"
    assert site_jwt.server.process.pid == process
    assert site_jwt.server.process.poll() is None


@pytest.mark.parametrize("content", ["", "{}", '{"keys": []}', None])
def test_a_server_without_keys_for_an_issuer_does_not_start(
    site: Site, serve: Callable[..., object], private_tmp: Path, content: str | None
) -> None:
    path = private_tmp / "jwks.json"
    if content is not None:
        path.write_text(content)
    ended = serve(
        "without-keys",
        {
            "jwt": {"port": persistent_port(private_tmp / "port")},
            "jwt.issuers#1": {
                "issuer": IDP,
                "audience": "tokenvault",
                "algorithms": ["ES256"],
                "jwks_file": str(path),
            },
        },
        development=True,
    )
    shutil.rmtree(site.directory / "without-keys")
    assert getattr(ended, "returncode", 0) == 2
    assert "jwks.json" in str(getattr(ended, "stderr", ""))


def test_no_call_without_metadata_reaches_a_use_case(site_jwt: Jwt) -> None:
    credentials = grpc.ssl_channel_credentials(site_jwt.ca.read_bytes())
    with grpc.secure_channel(site_jwt.server.jwt_address, credentials) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            TokenizationServiceStub(channel).Detokenize(
                DetokenizeRequest(field="card_number", tokens=[CARD], view="full"), timeout=10
            )
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
