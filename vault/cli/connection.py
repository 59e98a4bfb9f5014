"""Where the service is and who calls it: options, environment, or a development directory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vault.cli.dev_directory import DEV_DIRECTORY, find_caller, find_jwt_listener
from vault.client import CallError, Client, ClientJwt, ClientTls
from vault.client.address import address_problem
from vault.client.private_file import read_unshared

__all__ = ["ConnectionOptions", "DevOption", "ServiceConnection", "one_service"]

_NAMED = "tokenvault.services-named"
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)


def one_service(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:  # noqa: ANN401
    """Refuses --dev beside an option that names a service: it would be unclear which is meant.

    Only what the command line says counts: variables of the environment lose to --dev.
    """
    source = context.get_parameter_source(option.name or "")
    if source is not None and source.name == "COMMANDLINE":
        named = context.meta.setdefault(_NAMED, [])
        named.append(option.opts[0])
        others = sorted(set(named) - {"--dev"})
        if "--dev" in named and others:
            raise typer.BadParameter(f"--dev and {others[0]} name two services: leave one out")
    return value


DevOption = Annotated[
    Path | None,
    typer.Option(
        "--dev",
        metavar="DIR",
        callback=one_service,
        help="Use the development environment in DIR. Default: ./.tokenvault if it is there.",
    ),
]


@dataclass(frozen=True, slots=True)
class ServiceConnection:
    """A service and who calls it: PEM files, or a file with a JWT.

    Attributes:
        role: whose certificate of a development environment it is, or "".
    """

    address: str
    tls: ClientTls | ClientJwt
    role: str = ""

    @contextmanager
    def open(self, *, batch_size: int = 1_000) -> Iterator[Client]:
        """Opens a client; a call that fails notes who called.

        Raises OSError where a PEM file, or the token's file, cannot be read.
        """
        if isinstance(self.tls, ClientJwt):
            # gRPC would find out too, at the first call, and say that nobody answered.
            read_unshared(self.tls.jwt)
        with Client(self.address, self.tls, batch_size=batch_size) as client:
            try:
                yield client
            except CallError as error:
                error.add_note(f"as {self._caller()}")
                raise

    def _caller(self) -> str:
        if self.role:
            return f"role {self.role}"
        if isinstance(self.tls, ClientJwt):
            return f"the holder of {self.tls.jwt}"
        return f"certificate {self.tls.cert}"


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The options of every command that calls the service."""

    dev: DevOption = None
    role: Annotated[
        str | None,
        typer.Option(
            help="Whose certificate of the development environment to use. Default: the role "
            "whose work the command is; to detokenize, there is none."
        ),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            envvar="TOKENVAULT_ADDRESS",
            metavar="HOST:PORT",
            callback=one_service,
            help="The service.",
        ),
    ] = None
    ca: Annotated[
        Path | None,
        typer.Option(
            envvar="TOKENVAULT_CA", callback=one_service, help="Authority of the service, PEM."
        ),
    ] = None
    cert: Annotated[
        Path | None,
        typer.Option(
            envvar="TOKENVAULT_CERT", callback=one_service, help="The caller's certificate, PEM."
        ),
    ] = None
    key: Annotated[
        Path | None,
        typer.Option(
            envvar="TOKENVAULT_KEY", callback=one_service, help="The caller's private key, PEM."
        ),
    ] = None

    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TOKENVAULT_TOKEN_FILE",
            metavar="FILE",
            help="The caller's JWT, in place of certificate and key; --address is then the "
            "port for callers with a JWT. Read for every call.",
        ),
    ] = None

    login: Annotated[
        str | None,
        typer.Option(
            envvar="TOKENVAULT_LOGIN",
            metavar="NAME",
            help="Call as who logged in under that name (`tokenvault login NAME`), as with "
            "--token-file. The token is renewed where the issuer allows it.",
        ),
    ] = None

    def open(self, *, default_role: str | None = None) -> AbstractContextManager[Client]:
        """Returns a client. Raises as ``find`` and ``ServiceConnection.open`` do."""
        return self.find(default_role=default_role).open()

    def find(self, *, default_role: str | None = None) -> ServiceConnection:
        """Chooses the connection: ``--dev``, else the options, else ./.tokenvault.

        Args:
            default_role: the caller of a development environment where nobody is named.

        Raises:
            typer.BadParameter: something is missing; the message says what.
            LoginError: there is no such login, or it has ended.
        """
        callers = {"--role": self.role, "--token-file": self.token_file, "--login": self.login}
        named = [name for name, value in callers.items() if value is not None]
        if len(named) > 1:
            raise typer.BadParameter(
                f"{' and '.join(named)} name two callers: leave one out (or unset TOKENVAULT_*)"
            )
        if self.token_file and _TOKEN.fullmatch(str(self.token_file)):
            raise typer.BadParameter("--token-file takes the name of a file, not the token itself")
        options = {
            "--address": self.address,
            "--ca": self.ca,
            "--cert": self.cert,
            "--key": self.key,
        }
        given = [name for name, value in options.items() if value]
        if self.dev is None and given:
            return self._named_service(given)
        directory = self.dev or DEV_DIRECTORY
        if self.dev is None and not (directory / "dev.json").exists():
            raise typer.BadParameter(
                "no service given: use --address and --ca, with --cert and --key or "
                "--token-file or --login, or start 'tokenvault dev' here"
            )
        if token := self._token():
            return ServiceConnection(*find_jwt_listener(directory, token))
        return ServiceConnection(*find_caller(directory, self.role or default_role))

    def _named_service(self, given: Sequence[str]) -> ServiceConnection:
        named = ", ".join(given)
        if self.role is not None:
            raise typer.BadParameter(
                f"--role chooses a caller of a development environment, but {named} (or "
                f"TOKENVAULT_*) name another service: leave --role out, or leave {named} out "
                "(or unset TOKENVAULT_*) and use --dev DIR"
            )
        if self.address and (problem := address_problem(self.address)):
            raise typer.BadParameter(problem)
        if self.token_file or self.login:
            return self._token_caller(given)
        if self.address and self.ca and self.cert and self.key:
            return ServiceConnection(
                self.address, ClientTls(ca=self.ca, cert=self.cert, key=self.key)
            )
        missing = [name for name in ("--address", "--ca", "--cert", "--key") if name not in given]
        raise typer.BadParameter(
            f"a connection needs all four; missing: {', '.join(missing)}"
            + ("" if self.cert or self.key else " (or --token-file for the last two)")
        )

    def _token_caller(self, given: Sequence[str]) -> ServiceConnection:
        if self.cert or self.key:
            raise typer.BadParameter(
                "a caller comes with a certificate or with a token: leave --cert and --key out, "
                "or --token-file and --login (or unset TOKENVAULT_*)"
            )
        if self.address and self.ca and (token := self._token()):
            return ServiceConnection(self.address, ClientJwt(self.ca, token))
        missing = [name for name in ("--address", "--ca") if name not in given]
        option = "--token-file" if self.token_file else "--login"
        raise typer.BadParameter(f"{option} needs {' and '.join(missing)} too")

    def _token(self) -> Path | None:
        if self.login is None:
            return self.token_file
        # Imported late: no other caller needs HTTP.
        from vault.cli.oidc.saved_login import renewed

        return renewed(self.login)
