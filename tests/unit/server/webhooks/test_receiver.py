"""One notice over real HTTP: what is sent, and what counts as taken."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from pathlib import Path
from uuid import uuid4

import pytest

from tests.small_receiver import SmallReceiver, small_receiver
from vault.config import WebhookSettings
from vault.errors import ConfigError
from vault.server.webhooks.receiver import Receiver
from vault.service.ports import OutboxRow

KEY = bytes(range(32))
ROW = OutboxRow("default", uuid4(), "approvers", '{"specversion":"1.0"}', 1, bytes(32))
NOW = 1_790_000_000.9


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("whsec_" + b64encode(KEY).decode())
    path.chmod(0o600)
    return path


def receiver(url: str, secret: Path) -> Receiver:
    settings = {"name": "approvers", "url": url, "secret_file": str(secret)}
    return Receiver(WebhookSettings.model_validate(settings), lambda: NOW)


def test_a_notice_is_signed_over_what_is_sent(secret: Path) -> None:
    with small_receiver() as there:
        assert receiver(there.url, secret).send(ROW) == ""
    ((path, headers, body),) = there.requests
    assert path == "/hook"
    assert body == ROW.event.encode()
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["webhook-id"] == str(ROW.id)
    assert headers["webhook-timestamp"] == "1790000000"
    signed = f"{ROW.id}.1790000000.".encode() + body
    version, _, digest = headers["webhook-signature"].partition(",")
    assert version == "v1"
    assert b64decode(digest) == hmac.digest(KEY, signed, "sha256")


@pytest.mark.parametrize("status", [200, 202, 299])
def test_2xx_is_taken(secret: Path, status: int) -> None:
    with small_receiver() as there:
        there.status = status
        assert receiver(there.url, secret).send(ROW) == ""


@pytest.mark.parametrize("status", [301, 308, 400, 410, 429, 500])
def test_every_other_answer_is_none_and_a_redirect_is_not_followed(
    secret: Path, status: int
) -> None:
    with small_receiver() as there, small_receiver() as elsewhere:
        there.status, there.answer_headers = status, {"Location": elsewhere.url}
        assert receiver(there.url, secret).send(ROW) == f"answered {status}"
    assert len(there.requests) == 1
    assert elsewhere.requests == []


def test_no_proxy_of_the_environment_is_asked(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_receiver() as there, small_receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert receiver(there.url, secret).send(ROW) == ""
    assert proxy.requests == []


def test_a_receiver_that_is_gone_is_said_by_type_alone(secret: Path) -> None:
    with small_receiver() as there:
        gone = there.url
    assert receiver(gone, secret).send(ROW) == "ConnectionError"


def test_a_key_that_is_replaced_counts_at_once(secret: Path) -> None:
    with small_receiver() as there:
        sender = receiver(there.url, secret)
        sender.send(ROW)
        secret.write_text("whsec_" + b64encode(bytes(32)).decode())
        sender.send(ROW)
        assert signature_of(there, 0) != signature_of(there, 1)
        secret.unlink()
        assert "cannot be read" in sender.send(ROW)
    assert len(there.requests) == 2


def signature_of(there: SmallReceiver, at: int) -> str:
    return there.requests[at][1]["webhook-signature"]


def test_without_a_key_there_is_no_receiver(secret: Path) -> None:
    secret.write_text("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    with pytest.raises(ConfigError, match=r"webhooks.endpoints \(approvers\): secret_file: .*key"):
        receiver("https://hooks.example.org", secret)
