"""``tokenvault login``: who a person is, by an OpenID Connect issuer and a browser."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from vault.cli.connection import DevOption
from vault.cli.dev_directory import DEV_DIRECTORY, find_issuer

if TYPE_CHECKING:
    from vault.cli.oidc.device_login import DeviceCode, LoginClient

__all__ = ["login"]


class _LoginTarget(NamedTuple):
    """The issuer to log in to, and as which of its clients."""

    issuer: str
    ca: Path | None
    client: LoginClient
    secret_file: Path | None


def login(
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="What to call the login; --login NAME uses it."),
    ] = "default",
    issuer: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The OpenID Connect issuer, as its tokens say it."),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="As what the issuer knows this command line."),
    ] = None,
    client_secret_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The client's secret, where it has one."),
    ] = None,
    issuer_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Authority of the issuer, PEM. Default: the system's."),
    ] = None,
    scope: Annotated[
        str, typer.Option(help="Scopes to ask for; many issuers renew only with offline_access.")
    ] = "openid",
    audience: Annotated[
        str, typer.Option(help="What the token is for, where the issuer wants it named (Auth0).")
    ] = "",
    id_token: Annotated[
        bool,
        typer.Option("--id-token", help="Use the ID token: where access tokens are no JWTs."),
    ] = False,
    dev: DevOption = None,
) -> None:
    """Logs a person in: shows an address and a code, and waits for a browser anywhere to agree.

    The token is kept for --login under $XDG_STATE_HOME/tokenvault (~/.local/state), readable by
    its owner alone. Without --issuer: the development environment's, or that of the last
    login of this name. Exit code 3 if the login is denied or nobody agrees in time.
    """
    # Imported late: no other command needs HTTP.
    from vault.cli.oidc.device_login import discover, log_in, token_expiry
    from vault.cli.oidc.https import Https
    from vault.cli.oidc.saved_login import LOGIN_NAME, SavedLogin, save

    if not LOGIN_NAME.fullmatch(name):
        raise typer.BadParameter("a login's name is up to 64 letters, digits, dots, _ and -")
    if issuer and dev:
        raise typer.BadParameter("--dev and --issuer name two issuers: leave one out")
    if bool(issuer) != bool(client_id):
        raise typer.BadParameter("--issuer and --client-id go together")
    if issuer and client_id:
        client = _client(client_id, client_secret_file, scope, audience, id_token)
        where = _LoginTarget(issuer, issuer_ca, client, client_secret_file)
    else:
        where = _known(name, dev)
    transport = Https(where.ca)
    found = discover(transport, where.issuer)
    tokens = log_in(transport, found, where.client, _show)
    kept = SavedLogin(
        where.issuer, where.client, found.token_endpoint, where.ca, where.secret_file, tokens
    )
    path = save(name, kept)
    end = datetime.fromtimestamp(token_expiry(tokens.token) or 0, UTC)
    until = "renewed when it ends" if tokens.refresh_token else f"until {end:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"Logged in, {until}: --login {name} calls with the token in {path}")


def _client(
    client_id: str, secret_file: Path | None, scope: str, audience: str, id_token: bool
) -> LoginClient:
    from vault.cli.oidc.device_login import LoginClient
    from vault.cli.oidc.saved_login import read_client_secret

    secret = read_client_secret(secret_file) if secret_file else ""
    return LoginClient(client_id, secret, scope, audience, id_token)


def _known(name: str, dev: Path | None) -> _LoginTarget:
    from vault.cli.oidc.saved_login import saved_login

    if dev or (DEV_DIRECTORY / "dev.json").exists():
        address, ca, client_id = find_issuer(dev or DEV_DIRECTORY)
        return _LoginTarget(address, ca, _client(client_id, None, "openid", "", False), None)
    kept = saved_login(name)
    if kept is None:
        raise typer.BadParameter(
            "no issuer given: use --issuer and --client-id, or start 'tokenvault dev' here"
        )
    return _LoginTarget(kept.issuer, kept.ca, kept.client, kept.client_secret)


def _show(code: DeviceCode) -> None:
    typer.echo(f"Open {code.complete or code.address}")
    typer.echo(f"{'It must show' if code.complete else 'Enter there'} the code {code.user_code}")
    typer.echo("Waiting for you to agree there; Ctrl-C gives up.")
