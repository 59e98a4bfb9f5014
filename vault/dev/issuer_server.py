"""The development issuer as a server: discovery, logins by a code, tokens; HTTPS on loopback.

It has an address of its own, and signs as whichever issuers the policy names: those may be
anywhere. So what it calls itself is not what its tokens say; a real issuer has one name.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from vault.dev.authority import Credentials
from vault.dev.device_logins import (
    INTERVAL,
    LIFETIME,
    PERSON_NAME,
    Approval,
    DeviceLogins,
    Grant,
    GrantError,
)
from vault.dev.issuer_page import done_page, form_page
from vault.dev.ports import LOOPBACK

__all__ = ["CLIENT_ID", "IssuerServer"]

CLIENT_ID = "tokenvault-cli"
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_MAX_BODY = 16_384
_TIMEOUT = 10.0
_JSON = "application/json"
_HTML = "text/html; charset=utf-8"

Form = Mapping[str, str]


class _Reply(NamedTuple):
    status: HTTPStatus
    kind: str
    text: str


class IssuerServer:
    """Serves in threads of this process until it is stopped.

    Args:
        sign: makes the token of a person in a role, and returns its lifetime in seconds too.
        jwks: the issuer's public keys, as JSON.
    """

    def __init__(
        self,
        port: int,
        certificate: Credentials,
        roles: Sequence[str],
        sign: Callable[[Approval], tuple[str, int]],
        jwks: str,
        *,
        logins: DeviceLogins | None = None,
    ) -> None:
        self.address = f"https://{LOOPBACK}:{port}"
        self._port = port
        self._certificate = certificate
        self._roles = sorted(roles)
        self._sign = sign
        self._jwks = jwks
        self._logins = logins or DeviceLogins()
        self._server: ThreadingHTTPServer | None = None
        self._gets: Mapping[str, Callable[[Form], _Reply]] = {
            "/.well-known/openid-configuration": self._configuration,
            "/jwks.json": lambda _: _Reply(HTTPStatus.OK, _JSON, self._jwks),
            "/device": self._form,
        }
        self._posts: Mapping[str, Callable[[Form], _Reply]] = {
            "/device_authorization": self._begin,
            "/token": self._token,
            "/device": self._decide,
        }

    def start(self) -> None:
        """Binds the port and serves. Raises OSError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate.cert, self._certificate.key)
        server = _Server((LOOPBACK, self._port), _handler(self))
        # The handshake is the connection's own thread's: a silent caller holds nobody up.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server = server
        threading.Thread(target=server.serve_forever, name="dev-issuer", daemon=True).start()

    def stop(self) -> None:
        """Ends it; safe where it never started."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def reply(self, method: str, target: str, host: str, body: bytes) -> _Reply:
        """Answers one request."""
        if host != urlsplit(self.address).netloc:
            # A page elsewhere whose name was pointed at this machine.
            return _text(HTTPStatus.MISDIRECTED_REQUEST, "this is another host")
        parts = urlsplit(target)
        found = (self._posts if method == "POST" else self._gets).get(parts.path)
        if found is None:
            return _text(HTTPStatus.NOT_FOUND, "nothing is here")
        given = body.decode("utf-8", "replace") if method == "POST" else parts.query
        return found({name: values[0] for name, values in parse_qs(given).items()})

    def _configuration(self, _: Form) -> _Reply:
        return _json(
            {
                "issuer": self.address,
                "jwks_uri": f"{self.address}/jwks.json",
                "token_endpoint": f"{self.address}/token",
                "device_authorization_endpoint": f"{self.address}/device_authorization",
                "grant_types_supported": [_DEVICE_GRANT, "refresh_token"],
                "response_types_supported": [],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )

    def _begin(self, form: Form) -> _Reply:
        if form.get("client_id") != CLIENT_ID:
            return _refusal("invalid_client")
        try:
            device_code, user_code = self._logins.begin()
        except GrantError as error:
            return _refusal(error.code)
        page = f"{self.address}/device"
        return _json(
            {
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code={user_code}",
                "expires_in": LIFETIME,
                "interval": INTERVAL,
            }
        )

    def _token(self, form: Form) -> _Reply:
        if form.get("client_id") != CLIENT_ID:
            return _refusal("invalid_client")
        try:
            grant = self._grant(form)
        except GrantError as error:
            return _refusal(error.code)
        token, lifetime = self._sign(grant.approval)
        return _json(
            {
                "access_token": token,
                "id_token": token,
                "token_type": "Bearer",
                "expires_in": lifetime,
                "refresh_token": grant.refresh_token,
            }
        )

    def _grant(self, form: Form) -> Grant:
        match form.get("grant_type"):
            case "refresh_token":
                return self._logins.refresh(form.get("refresh_token", ""))
            case kind if kind == _DEVICE_GRANT:
                return self._logins.poll(form.get("device_code", ""))
        raise GrantError("unsupported_grant_type")

    def _form(self, form: Form) -> _Reply:
        page = form_page(self._roles, code=form.get("user_code", ""))
        return _Reply(HTTPStatus.OK, _HTML, page)

    def _decide(self, form: Form) -> _Reply:
        code, person, role = (form.get(name, "") for name in ("user_code", "person", "role"))
        if form.get("decision") != "approve":
            known, done = self._logins.deny(code), "Refused. You may close this page."
        elif not PERSON_NAME.fullmatch(person) or role not in self._roles:
            return self._again(form, "Say who you are, in small letters, and choose a role.")
        else:
            known = self._logins.approve(code, person, role)
            done = f"You are {person}, as {role}. You may close this page."
        if not known:
            return self._again(form, "No login waits for this code: it is mistyped, or too old.")
        return _Reply(HTTPStatus.OK, _HTML, done_page(done))

    def _again(self, form: Form, problem: str) -> _Reply:
        code, person, role = (form.get(name, "") for name in ("user_code", "person", "role"))
        page = form_page(self._roles, code=code, person=person, role=role, problem=problem)
        return _Reply(HTTPStatus.BAD_REQUEST, _HTML, page)


def _json(document: Mapping[str, object]) -> _Reply:
    return _Reply(HTTPStatus.OK, _JSON, json.dumps(document))


def _refusal(code: str) -> _Reply:
    return _Reply(HTTPStatus.BAD_REQUEST, _JSON, json.dumps({"error": code}))


def _text(status: HTTPStatus, text: str) -> _Reply:
    return _Reply(status, "text/plain; charset=utf-8", text)


def _handler(issuer: IssuerServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > _MAX_BODY:
                self._send(_text(HTTPStatus.BAD_REQUEST, "this is no form"))
                return
            self._answer(self.rfile.read(int(length)))

        def _answer(self, body: bytes) -> None:
            host = self.headers.get("Host", "")
            self._send(issuer.reply(self.command, self.path, host, body))

        def _send(self, reply: _Reply) -> None:
            data = reply.text.encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", _CONTENT_POLICY)
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Says nothing: a request's line may hold a code."""

    return Handler


# Nobody else's page may show ours in a frame, and have a click agree to a login.
_CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Without HTTPServer's look-up of the host's full name, which may ask a name server.
        TCPServer.server_bind(self)

    def handle_error(self, *_: object) -> None:
        """Says nothing of callers that break off, or do not trust the certificate."""
