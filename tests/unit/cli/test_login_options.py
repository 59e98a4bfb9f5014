"""``tokenvault login`` and ``--login``: what is refused before anybody is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Invoke = Callable[..., tuple[int, str, str]]

ISSUER = ("--issuer", "https://idp.example.org", "--client-id", "cli")


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("../x", *ISSUER), "a login's name is"),
        (ISSUER[:2], "--issuer and --client-id go together"),
        (ISSUER[2:], "--issuer and --client-id go together"),
        ((*ISSUER, "--dev", "d"), "--dev and --issuer name two issuers"),
        ((), "no issuer given"),
        (("--dev", "d"), "dev.json is not there"),
        (("--issuer", "http://idp.example.org", "--client-id", "cli"), "must be https://"),
        ((*ISSUER, "--issuer-ca", "missing.pem"), "missing.pem"),
        ((*ISSUER, "--client-secret-file", "missing"), "missing"),
    ],
)
def test_a_login_that_cannot_begin(invoke: Invoke, arguments: tuple[str, ...], told: str) -> None:
    code, out, err = invoke("login", *arguments)
    assert (code, out) == (2, "")
    assert told in err.replace("\n", " ")


def test_a_secret_that_others_can_read_is_not_sent(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    (tmp_path / "secret").chmod(0o644)
    code, out, err = invoke("login", *ISSUER, "--client-secret-file", "secret")
    assert (code, out) == (2, "")
    assert "chmod 600" in err
    assert "hush" not in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--address", "h:1", "--ca", "ca"), "nobody is logged in as ann: run `tokenvault login"),
        (("--address", "h:1"), "--login needs --ca too"),
        (("--address", "h:1", "--ca", "ca", "--cert", "c"), "with a certificate or with a token"),
        (("--token-file", "t"), "--token-file and --login name two callers"),
        (("--role", "auditor"), "--role and --login name two callers"),
    ],
)
def test_a_login_that_cannot_be_used(invoke: Invoke, arguments: tuple[str, ...], told: str) -> None:
    code, out, err = invoke("audit", "tail", "--login", "ann", *arguments)
    assert (code, out) == (2, "")
    assert told in err.replace("\n", " ")
