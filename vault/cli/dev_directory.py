"""What ``dev.json`` of a development environment says: where it is, and whose files are there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer

from vault.bulk.shell import shell_word
from vault.client import ClientJwt, ClientTls

__all__ = ["DEV_DIRECTORY", "find_caller", "find_health", "find_issuer", "find_jwt_listener"]

DEV_DIRECTORY = Path(".tokenvault")


def find_caller(directory: Path, role: str | None) -> tuple[str, ClientTls, str]:
    """Returns the service's address, a role's files and the role as it is spelled there.

    Raises:
        typer.BadParameter: there is no such role, none is named, or no such environment.
    """
    path, described = _described(directory)
    try:
        address, ca, clients = described["address"], described["ca"], described["clients"]
        pairs = {name: (entry["cert"], entry["key"]) for name, entry in clients.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _foreign(path) from None
    known = ", ".join(sorted(pairs))
    if role is None:
        raise typer.BadParameter(f"choose a caller with --role: {known}")
    pair = pairs.get(role) or pairs.get(role.replace("-", "_"))
    if pair is None:
        raise typer.BadParameter(f"no role {shell_word(role)} in {path}; there are: {known}")
    cert, key = (directory / name for name in pair)
    return address, ClientTls(ca=directory / ca, cert=cert, key=key), role


def find_jwt_listener(directory: Path, token: Path) -> tuple[str, ClientJwt]:
    """Returns the address for callers with a JWT, and the caller whose token is in a file."""
    path, described = _described(directory)
    match described:
        case {"jwt_address": str(address), "ca": str(ca)}:
            return address, ClientJwt(directory / ca, token)
    raise _foreign(path)


def find_issuer(directory: Path) -> tuple[str, Path, str]:
    """Returns the development issuer's address, its authority, and the client that logs in."""
    path, described = _described(directory)
    match described:
        case {"issuer": {"address": str(address), "client_id": str(client_id)}, "ca": str(ca)}:
            return address, directory / ca, client_id
    raise _foreign(path)


def _foreign(path: Path) -> typer.BadParameter:
    return typer.BadParameter(f"{path} is not what 'tokenvault dev' writes")


def find_health(dev: Path | None) -> str | None:
    """Returns where the development environment answers health checks, None where there is none.

    Raises:
        typer.BadParameter: it is there and not running: another one might answer for it.
    """
    directory = dev or DEV_DIRECTORY
    if dev is None and not directory.is_dir():
        return None
    path, described = _described(directory)
    address = described.get("health")
    if not isinstance(address, str):
        raise _foreign(path)
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
        raise _foreign(path)
    return path, described
