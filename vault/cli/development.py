"""``tokenvault dev``: everything on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vault.cli.extras import needs_dev

__all__ = ["dev"]


@needs_dev
def dev(
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where keys, data and logs live.")
    ] = Path(".tokenvault"),
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The policy. Default: the sample that comes with it."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The service's port. Default: the last one, or free."),
    ] = None,
) -> None:
    """Runs Postgres, a key server, a certificate authority and the service until Ctrl-C.

    For development only: everything listens on loopback, and a real service refuses its
    certificates. A second start in the same directory continues with the same data.
    """
    # Imported late: no other command starts servers.
    from vault.dev.environment import DevEnvironment

    DevEnvironment(directory, policy=policy, port=port).run(typer.echo)
