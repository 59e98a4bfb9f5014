"""A JWKS at a real https address."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from vault.config import JwtIssuerSettings
from vault.dev.authority import Authority
from vault.dev.issuer import JwtIssuer
from vault.errors import ConfigError
from vault.rpc.authn.jwt_fetch import JwksClient
from vault.server.endpoints import keys_of


class Idp(ThreadingHTTPServer):
    """Answers what a test sets."""

    status = 200
    body = b""
    location = ""
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Idp

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def authority(private_tmp: Path) -> Authority:
    return Authority(private_tmp / "pki")


@pytest.fixture
def idp(authority: Authority, private_tmp: Path) -> Iterator[Idp]:
    server = Idp(("127.0.0.1", 0), Handler)
    server.asked = []
    server.body = JwtIssuer(private_tmp / "issuer").jwks_path.read_bytes()
    files = authority.issue_server("idp")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def address(idp: Idp, scheme: str = "https") -> str:
    return f"{scheme}://localhost:{idp.server_port}/jwks.json"


def test_keys_are_read_from_the_address(idp: Idp, authority: Authority) -> None:
    keys = JwksClient(address(idp), authority.certificate_path).fetch()
    (entry,) = json.loads(idp.body)["keys"]
    assert keys[entry["kid"]].algorithms == {"ES256"}
    assert idp.asked == ["/jwks.json"]


def test_an_issuer_with_an_address_has_its_keys_fetched(idp: Idp, authority: Authority) -> None:
    settings = JwtIssuerSettings.model_validate(
        {
            "issuer": "https://idp.example.org",
            "audience": "tokenvault",
            "algorithms": ["ES256"],
            "jwks_url": address(idp),
            "jwks_ca": str(authority.certificate_path),
        }
    )
    (entry,) = json.loads(idp.body)["keys"]
    with ExitStack() as stack:
        assert keys_of(settings, stack).find(entry["kid"]) is not None
    gone = settings.model_copy(update={"jwks_ca": Path("/nonexistent")})
    with ExitStack() as stack, pytest.raises(ConfigError, match="jwks_ca: /nonexistent"):
        keys_of(gone, stack)


def test_an_address_of_another_authority_is_not_believed(idp: Idp, private_tmp: Path) -> None:
    other = Authority(private_tmp / "other").certificate_path
    for ca in (other, None):
        with pytest.raises(OSError, match="certificate verify failed"):
            JwksClient(address(idp), ca).fetch()
    assert idp.asked == []


def test_a_redirection_is_not_followed(idp: Idp, authority: Authority) -> None:
    idp.status, idp.location = 302, "/elsewhere"
    with pytest.raises(ValueError, match="answered 302"):
        JwksClient(address(idp), authority.certificate_path).fetch()
    assert idp.asked == ["/jwks.json"]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [(500, b"", "answered 500"), (200, b"<html>", "not JSON"), (200, b" " * 300_000, "too large")],
)
def test_a_wrong_answer_is_no_key_set(
    idp: Idp, authority: Authority, status: int, body: bytes, message: str
) -> None:
    idp.status, idp.body = status, body
    with pytest.raises(ValueError, match=message):
        JwksClient(address(idp), authority.certificate_path).fetch()


def test_the_environments_proxy_is_not_asked(
    idp: Idp, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    assert JwksClient(address(idp), authority.certificate_path).fetch()
