"""Logins kept between two commands: the token, and what renews it.

Under ``$XDG_STATE_HOME/tokenvault/logins`` (0700), by name: ``NAME.jwt`` has the token as any
token file, ``NAME.json`` what it takes to renew it. Both are 0600 and replaced as a whole.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vault.cli.oidc.device_login import LoginClient, Tokens, renew, token_expiry
from vault.cli.oidc.errors import LoginError, LoginFailure
from vault.cli.oidc.https import Https, NoResponse
from vault.client.private_file import read_private, read_unshared
from vault.dev.private_files import private_directory, write_private

__all__ = [
    "LOGIN_NAME",
    "SavedLogin",
    "login_file",
    "read_client_secret",
    "renewed",
    "save",
    "saved_login",
]

LOGIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)
_MARGIN = 60.0  # seconds that a token must still have when a command begins


@dataclass(frozen=True, slots=True)
class SavedLogin:
    """A login as it is kept.

    Attributes:
        ca: authority of the issuer (PEM), or None for the system's.
        client_secret: the file that has the client's secret, or None.
    """

    issuer: str
    client: LoginClient
    token_endpoint: str
    ca: Path | None
    client_secret: Path | None
    tokens: Tokens


def login_file(name: str) -> Path:
    """Returns where the token of a login is kept."""
    return _directory() / f"{name}.jwt"


def save(name: str, login: SavedLogin) -> Path:
    """Keeps a login and returns the token's file. Raises OSError."""
    private_directory(_directory())
    document = {
        "issuer": login.issuer,
        "client_id": login.client.client_id,
        "scope": login.client.scope,
        "audience": login.client.audience,
        "id_token": login.client.id_token,
        "token_endpoint": login.token_endpoint,
        "ca": str(login.ca.absolute()) if login.ca else None,
        "client_secret_file": str(login.client_secret.absolute()) if login.client_secret else None,
        "refresh_token": login.tokens.refresh_token,
    }
    # First: a refresh token counts once, and the token's own end says whether it is the new one.
    write_private(_settings_file(name), json.dumps(document, indent=2) + "\n")
    return write_private(login_file(name), login.tokens.token + "\n")


def saved_login(name: str) -> SavedLogin | None:
    """Returns a login as it was kept, None where nobody logged in. Raises as ``renewed``."""
    path = _settings_file(name)
    return _read(path, name) if path.exists() else None


def renewed(name: str) -> Path:
    """Returns the file of a login's token, which is renewed first where it is about to end.

    Raises:
        LoginError: nobody logged in under that name, or the login has ended.
        OSError: the files cannot be read, or others than their owner can.
    """
    path = _settings_file(name)
    if not LOGIN_NAME.fullmatch(name) or not path.exists():
        raise LoginError(LoginFailure.USAGE, f"nobody is logged in as {name}: {_remedy(name)}")
    # One at a time: an issuer may take a refresh token that comes twice for a stolen one.
    with _locked(path.with_suffix(".lock")):
        login = _read(path, name)
        left = (token_expiry(login.tokens.token) or 0) - time.time()
        if left > _MARGIN:
            return login_file(name)
        if not login.tokens.refresh_token:
            if left > 0:
                return login_file(name)
            raise LoginError(LoginFailure.USAGE, f"the login {name} has ended: {_remedy(name)}")
        return _renew(name, login, still_good=left > 0)


def _renew(name: str, login: SavedLogin, *, still_good: bool) -> Path:
    try:
        tokens = renew(
            Https(login.ca), login.token_endpoint, login.client, login.tokens.refresh_token
        )
    except NoResponse:
        if still_good:
            return login_file(name)
        raise
    except LoginError as error:
        if error.failure is LoginFailure.REFUSED:
            raise LoginError(error.failure, f"{error.message}; {_remedy(name)}") from None
        raise
    return save(name, replace(login, tokens=tokens))


def _remedy(name: str) -> str:
    return f"run `tokenvault login {name}`"


def _directory() -> Path:
    # XDG Base Directory Specification: a relative path is to be ignored.
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    state = named if named.is_absolute() else Path.home() / ".local" / "state"
    return state / "tokenvault" / "logins"


def _read(path: Path, name: str) -> SavedLogin:
    match _document(path):
        case {
            "issuer": str(issuer),
            "client_id": str(client_id),
            "scope": str(scope),
            "audience": str(audience),
            "id_token": bool(id_token),
            "token_endpoint": str(token_endpoint),
            "ca": str() | None as ca,
            "client_secret_file": str() | None as secret_file,
            "refresh_token": str(refresh_token),
        }:
            secret = read_client_secret(Path(secret_file)) if secret_file else ""
            return SavedLogin(
                issuer,
                LoginClient(client_id, secret, scope, audience, id_token),
                token_endpoint,
                Path(ca) if ca else None,
                Path(secret_file) if secret_file else None,
                Tokens(_token(name), refresh_token),
            )
    raise LoginError(LoginFailure.USAGE, f"{path} is no saved login: {_remedy(name)}")


def _settings_file(name: str) -> Path:
    return _directory() / f"{name}.json"


def _token(name: str) -> str:
    try:
        return read_unshared(login_file(name)).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""


def _document(path: Path) -> object:
    try:
        return json.loads(read_private(path))
    except (ValueError, RecursionError):
        return None


def read_client_secret(path: Path) -> str:
    """Reads a client's secret. Raises OSError, also where others than its owner can read it."""
    return read_private(path).decode("utf-8", "replace").strip()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
