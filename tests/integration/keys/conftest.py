"""A stand-in for the one Kubernetes API that a key server asks: TokenReview, over TLS.

No Kubernetes runs here. What it is asked, and how tokens are looked at, follows the API
(authentication.k8s.io/v1); tokens have the claims of projected ones and a real signature.
"""

from __future__ import annotations

import json
import secrets
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from vault.dev.authority import Authority
from vault.dev.private_files import write_private

AUDIENCE = "https://vault.example.org"
_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


class KubernetesApi(ThreadingHTTPServer):
    """Signs service account tokens and reviews them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.reviewed = 0

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"

    def token(
        self,
        account: str = "tokenvault",
        *,
        namespace: str = "vaults",
        audience: str = AUDIENCE,
        seconds: int = 600,
        forged: bool = False,
    ) -> str:
        """A projected token; a forged one has somebody else's signature."""
        now = int(time.time())
        claims = {
            "iss": "https://kubernetes.default.svc.cluster.local",
            "sub": f"system:serviceaccount:{namespace}:{account}",
            "aud": [audience],
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "jti": secrets.token_hex(8),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": account, "uid": "6f2c9a0e-0000-4000-8000-000000000001"},
            },
        }
        key = ec.generate_private_key(ec.SECP256R1()) if forged else self._key
        return jwt.encode(claims, key, algorithm="ES256")

    def review(self, spec: dict[str, object]) -> dict[str, object]:
        """The ``status`` of a TokenReview."""
        self.reviewed += 1
        wanted = spec.get("audiences") or [AUDIENCE]
        assert isinstance(wanted, list)
        try:
            claims = jwt.decode(
                str(spec["token"]), self._key.public_key(), algorithms=["ES256"], audience=wanted
            )
        except jwt.InvalidTokenError as error:
            return {"authenticated": False, "error": type(error).__name__}
        account = claims["kubernetes.io"]["serviceaccount"]
        return {
            "authenticated": True,
            "user": {"username": claims["sub"], "uid": account["uid"], "groups": []},
            "audiences": [name for name in wanted if name in claims["aud"]],
        }


class _Handler(BaseHTTPRequestHandler):
    server: KubernetesApi

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reviewer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        allowed = self.path == _PATH and self.server.review({"token": reviewer})["authenticated"]
        answer = {**asked, "status": self.server.review(asked["spec"]) if allowed else {}}
        body = json.dumps(answer).encode()
        self.send_response(201 if allowed else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def kubernetes(authority: Authority) -> Iterator[KubernetesApi]:
    api = KubernetesApi()
    files = authority.issue_server("kubernetes")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    api.socket = context.wrap_socket(api.socket, server_side=True)
    thread = Thread(target=api.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield api
    api.shutdown()
    api.server_close()
    thread.join()


@pytest.fixture
def pod_token(kubernetes: KubernetesApi, private_tmp: Path) -> Path:
    """The file a pod finds its token in, as the kubelet leaves it: readable by all."""
    file = write_private(private_tmp / "token", kubernetes.token())
    file.chmod(0o644)
    return file
