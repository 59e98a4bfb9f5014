"""Where the service is and who calls it: options, environment, or a development directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vault.bulk.shell import shell_word
from vault.client import CallError, Client, ClientTls
from vault.client.address import address_problem

__all__ = ["ConnectionOptions", "DevOption", "ServiceConnection", "find_health", "one_service"]

_DEV_DIRECTORY = Path(".tokenvault")
_NAMED = "tokenvault.services-named"


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
    """A service and the caller's PEM files.

    Attributes:
        role: whose certificate of a development environment it is, or "".
    """

    address: str
    tls: ClientTls
    role: str = ""

    @contextmanager
    def open(self, *, batch_size: int = 1_000) -> Iterator[Client]:
        """Opens a client; a call that fails notes who called.

        Raises OSError where a PEM file cannot be read.
        """
        with Client(self.address, self.tls, batch_size=batch_size) as client:
            try:
                yield client
            except CallError as error:
                by = f"role {self.role}" if self.role else f"certificate {self.tls.cert}"
                error.add_note(f"as {by}")
                raise


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

    def open(self, *, default_role: str | None = None) -> AbstractContextManager[Client]:
        """Returns a client. Raises as ``find`` and ``ServiceConnection.open`` do."""
        return self.find(default_role=default_role).open()

    def find(self, *, default_role: str | None = None) -> ServiceConnection:
        """Chooses the connection: ``--dev``, else the four options, else ./.tokenvault.

        Args:
            default_role: the caller of a development environment where no --role is given.

        Raises:
            typer.BadParameter: something is missing; the message says what.
        """
        options = {
            "--address": self.address,
            "--ca": self.ca,
            "--cert": self.cert,
            "--key": self.key,
        }
        given = ", ".join(name for name, value in options.items() if value)
        if self.dev is None and given:
            return self._named_service(given, [name for name in options if not options[name]])
        directory = self.dev or _DEV_DIRECTORY
        if self.dev is None and not (directory / "dev.json").exists():
            raise typer.BadParameter(
                "no service given: use --address, --ca, --cert and --key, "
                "or start 'tokenvault dev' here"
            )
        return _development(directory, self.role or default_role)

    def _named_service(self, given: str, missing: Sequence[str]) -> ServiceConnection:
        if self.role is not None:
            raise typer.BadParameter(
                f"--role chooses a caller of a development environment, but {given} (or "
                f"TOKENVAULT_*) name another service: leave --role out, or leave {given} out "
                "(or unset TOKENVAULT_*) and use --dev DIR"
            )
        if self.address and (problem := address_problem(self.address)):
            raise typer.BadParameter(problem)
        if self.address and self.ca and self.cert and self.key:
            return ServiceConnection(
                self.address, ClientTls(ca=self.ca, cert=self.cert, key=self.key)
            )
        raise typer.BadParameter(f"a connection needs all four; missing: {', '.join(missing)}")


def find_health(dev: Path | None) -> str | None:
    """Returns where the development environment answers health checks, None where there is none.

    Raises:
        typer.BadParameter: it is there and not running: another one might answer for it.
    """
    directory = dev or _DEV_DIRECTORY
    if dev is None and not directory.is_dir():
        return None
    path, described = _described(directory)
    address = described.get("health")
    if not isinstance(address, str):
        raise typer.BadParameter(f"{path} is not what 'tokenvault dev' writes")
    if not _is_running(directory):
        raise typer.BadParameter(
            f"{path} was left by an environment that was killed: "
            f"start 'tokenvault dev --dir {directory}', or give --address"
        )
    return address


def _is_running(directory: Path) -> bool:
    """Returns whether the process that holds the directory lives; its number is in the lock."""
    try:
        os.kill(int((directory / "lock").read_text("ascii")), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _described(directory: Path) -> tuple[Path, dict[str, Any]]:
    path = directory / "dev.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise typer.BadParameter(
            f"{path} is not there: start 'tokenvault dev --dir {directory}'"
        ) from None
    except ValueError:
        described = None
    if not isinstance(described, dict):
        raise typer.BadParameter(f"{path} is not what 'tokenvault dev' writes")
    return path, described


def _development(directory: Path, role: str | None) -> ServiceConnection:
    path, described = _described(directory)
    try:
        address, ca, clients = described["address"], described["ca"], described["clients"]
        pairs = {name: (entry["cert"], entry["key"]) for name, entry in clients.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise typer.BadParameter(f"{path} is not what 'tokenvault dev' writes") from None
    known = ", ".join(sorted(pairs))
    if role is None:
        raise typer.BadParameter(f"choose a caller with --role: {known}")
    pair = pairs.get(role) or pairs.get(role.replace("-", "_"))
    if pair is None:
        raise typer.BadParameter(f"no role {shell_word(role)} in {path}; there are: {known}")
    cert, key = (directory / name for name in pair)
    return ServiceConnection(address, ClientTls(ca=directory / ca, cert=cert, key=key), role)
