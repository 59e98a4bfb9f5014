"""Logins between two commands: who may read them, and when they are renewed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.oidc.test_device_login import jwt
from vault.cli.oidc import saved_login as module
from vault.cli.oidc.device_login import LoginClient, Tokens
from vault.cli.oidc.errors import LoginError, LoginFailure
from vault.cli.oidc.https import NoResponse
from vault.cli.oidc.saved_login import SavedLogin, renewed, save, saved_login


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "tokenvault" / "logins"


def token(seconds: float, **more: object) -> str:
    return jwt(exp=int(time.time() + seconds), **more)


def login(seconds: float = 3600, renewable_by: str = "r-1") -> SavedLogin:
    client = LoginClient("cli", scope="openid", audience="tokenvault", id_token=True)
    tokens = Tokens(token(seconds), renewable_by)
    return SavedLogin(
        "https://idp.example.org", client, "https://idp.example.org/token", None, None, tokens
    )


Answering = Callable[[Tokens | Exception], list[str]]


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Lets the issuer answer a renewal; returns the refresh tokens that it was sent."""

    def answering(answer: Tokens | Exception) -> list[str]:
        sent: list[str] = []

        def renew(_: object, endpoint: str, client: LoginClient, refresh_token: str) -> Tokens:
            assert endpoint == "https://idp.example.org/token"
            sent.append(refresh_token)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(module, "renew", renew)
        return sent

    return answering


def test_a_login_is_its_owners_alone(state: Path) -> None:
    path = save("ann", login())
    assert path == state / "ann.jwt"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in state.iterdir()} == {0o600}
    assert path.read_text() == login_token(path) + "\n"


def login_token(path: Path) -> str:
    return path.read_text().strip()


def test_a_login_is_read_as_it_was_kept(state: Path) -> None:
    secret = state.parent / "secret"
    state.mkdir(parents=True)
    secret.write_text("hush\n")
    secret.chmod(0o600)
    kept = replace(login(), client_secret=secret, ca=Path("/ca.pem"))
    save("ann", kept)
    assert saved_login("ann") == replace(kept, client=replace(kept.client, secret="hush"))
    assert "hush" not in (state / "ann.json").read_text()
    assert saved_login("bob") is None


def test_a_state_directory_that_is_relative_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("relative", ""):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        path = save("ann", login())
        assert path == tmp_path / ".local/state/tokenvault/logins/ann.jwt"


def test_a_token_that_is_good_is_not_renewed(state: Path, issuer: Answering) -> None:
    sent = issuer(AssertionError())
    path = save("ann", login(3600))
    assert renewed("ann") == path
    assert sent == []


@pytest.mark.parametrize("left", [30, -30])
def test_a_token_that_is_about_to_end_is_renewed(
    state: Path, issuer: Answering, left: float
) -> None:
    save("ann", login(left))
    newer = token(3600, jti="2")
    sent = issuer(Tokens(newer, "r-2"))
    assert login_token(renewed("ann")) == newer
    assert login_token(renewed("ann")) == newer
    assert sent == ["r-1"]
    kept = saved_login("ann")
    assert kept is not None
    assert kept.tokens == Tokens(newer, "r-2")


def test_a_renewal_that_was_cut_off_is_made_again_by_the_newer_refresh_token(
    state: Path, issuer: Answering
) -> None:
    path = save("ann", login(-1))
    before = path.read_text()
    save("ann", login(3600, "r-2"))
    path.write_text(before)  # the process ended between the two files
    sent = issuer(Tokens(token(3600), "r-3"))
    renewed("ann")
    assert sent == ["r-2"]
    path.unlink()
    renewed("ann")
    assert sent == ["r-2", "r-3"]


def test_without_a_refresh_token_a_login_ends_with_its_token(
    state: Path, issuer: Answering
) -> None:
    sent = issuer(AssertionError())
    save("ann", login(30, ""))
    assert renewed("ann") == state / "ann.jwt"
    save("ann", login(-1, ""))
    with pytest.raises(LoginError, match="the login ann has ended: run `tokenvault login ann`"):
        renewed("ann")
    assert sent == []


def test_while_the_issuer_is_away_a_token_serves_to_its_end(state: Path, issuer: Answering) -> None:
    issuer(NoResponse("away"))
    path = save("ann", login(30))
    assert renewed("ann") == path
    save("ann", login(-1))
    with pytest.raises(NoResponse):
        renewed("ann")


def test_a_login_that_the_issuer_ended_says_what_to_do(state: Path, issuer: Answering) -> None:
    issuer(LoginError(LoginFailure.REFUSED, "the login has ended: invalid_grant"))
    save("ann", login(30))
    with pytest.raises(LoginError, match="invalid_grant; run `tokenvault login ann`"):
        renewed("ann")


def test_nobody_is_logged_in_by_a_name_that_is_a_path(state: Path) -> None:
    save("ann", login())
    for name in ("bob", "../logins/ann", "", ".", "a/b"):
        with pytest.raises(LoginError, match="nobody is logged in"):
            renewed(name)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660])
def test_a_login_that_others_can_read_is_refused(state: Path, mode: int) -> None:
    save("ann", login())
    (state / "ann.json").chmod(mode)
    with pytest.raises(OSError, match="chmod 600 it"):
        renewed("ann")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"issuer": 1}', "\x00", "[" * 100_000])
def test_what_is_no_login_is_refused(state: Path, text: str) -> None:
    save("ann", login())
    (state / "ann.json").write_text(text)
    with pytest.raises(LoginError, match="is no saved login"):
        renewed("ann")


def test_a_kept_login_has_no_secret_in_its_repr(state: Path) -> None:
    save("ann", login())
    shown = repr(saved_login("ann"))
    assert "r-1" not in shown
    assert "eyJ" not in shown
    assert "r-1" in json.loads((state / "ann.json").read_text())["refresh_token"]
