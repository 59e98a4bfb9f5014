"""What a login asks an issuer, over real TLS: nobody but the address that was named answers."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from vault.cli.oidc.errors import LoginError
from vault.cli.oidc.https import Https, NoResponse
from vault.dev.authority import Authority

asked: list[tuple[str, str]] = []
ANSWERS: dict[str, tuple[int, bytes]] = {
    "/good": (200, b'{"a": "b"}'),
    "/refused": (400, b'{"error": "access_denied"}'),
    "/list": (200, b"[]"),
    "/html": (502, b"<html>secret"),
    "/large": (200, b'{"a": "' + b"x" * (1 << 20) + b'"}'),
    "/deep": (200, b"[" * 500_000),
    "/moved": (302, b""),
    "/moved-for-good": (307, b""),
}


class Handler(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked.append((self.path, body.decode()))
        status, answer = ANSWERS[self.path]
        self.send_response(status)
        if status in (302, 307):
            self.send_header("Location", "/good")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


class Issuer(NamedTuple):
    address: str
    ca: Path


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    authority = Authority(tmp_path_factory.mktemp("issuer") / "pki")
    pair = authority.issue_server("issuer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield Issuer(f"https://127.0.0.1:{server.server_address[1]}", authority.certificate_path)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def transport(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Https:
    asked.clear()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    return Https(issuer.ca)


def test_an_answer_is_a_status_and_a_json_object(issuer: Issuer, transport: Https) -> None:
    found = transport.get(f"{issuer.address}/good")
    assert (found.ok, found.text("a")) == (True, "b")
    refused = transport.post(f"{issuer.address}/refused", {"code": "a&b"})
    assert (refused.ok, refused.text("error")) == (False, "access_denied")
    assert asked[-1] == ("/refused", "code=a%26b")
    assert "access_denied" not in repr(refused)


@pytest.mark.parametrize("path", ["/moved", "/moved-for-good"])
def test_a_redirect_is_not_followed(issuer: Issuer, transport: Https, path: str) -> None:
    for ask in (transport.get, lambda url: transport.post(url, {"refresh_token": "r"})):
        with pytest.raises(NoResponse, match="no JSON object"):
            ask(f"{issuer.address}{path}")
    assert [each for each, _ in asked] == [path, path]


@pytest.mark.parametrize("path", ["/list", "/html", "/large", "/deep"])
def test_what_is_no_json_object_is_no_answer(issuer: Issuer, transport: Https, path: str) -> None:
    with pytest.raises(NoResponse, match="no JSON object") as caught:
        transport.get(f"{issuer.address}{path}")
    assert "secret" not in caught.value.message


def test_a_certificate_of_another_name_or_authority_is_refused(
    issuer: Issuer, transport: Https, tmp_path: Path
) -> None:
    other = Https(Authority(tmp_path / "pki").certificate_path)
    with pytest.raises(LoginError, match="is not trusted"):
        other.post(f"{issuer.address}/good", {"refresh_token": "r"})
    with pytest.raises(LoginError, match="is not trusted"):
        Https(None).get(f"{issuer.address}/good")
    with pytest.raises(LoginError):
        transport.get(issuer.address.replace("127.0.0.1", "127.0.0.2") + "/good")
    assert asked == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "https://", "//x", "https://u@h/x"],
)  # fmt: skip
def test_nothing_but_https_is_asked(transport: Https, url: str) -> None:
    with pytest.raises(LoginError, match="must be https://"):
        transport.post(url, {"refresh_token": "r"})


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(OSError, match=r"ca\.pem"):
        Https(tmp_path / "ca.pem")
