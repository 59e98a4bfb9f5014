"""``tokenvault serve`` and ``tokenvault migrate``: what operators run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vault.cli.extras import needs_server

__all__ = ["ConfigOption", "migrate", "serve"]

ConfigOption = Annotated[
    Path,
    typer.Option("--config", metavar="FILE", help="The settings, TOML (deploy/server.toml)."),
]


@needs_server
def serve(config: ConfigOption) -> None:
    """Serves until SIGTERM or Ctrl-C, then lets running calls end."""
    # Imported late: no other command needs the server.
    from vault.config import load_settings
    from vault.server.run import run_server

    run_server(load_settings(config))


@needs_server
def migrate(
    config: ConfigOption,
    owner: Annotated[
        str, typer.Option(metavar="ROLE", help="The database role that owns the tables.")
    ],
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the owner's password, mode 0600."),
    ] = None,
) -> None:
    """Brings the database of the settings up to date, and grants the service's role its rights.

    Runs as the owner of the tables; safe to run by many at once, and again.
    """
    from vault.config import load_settings, read_secret
    from vault.errors import ConfigError
    from vault.postgres.address import psycopg_url
    from vault.postgres.migrate import migrate as migrate_schema
    from vault.telemetry.logging import configure_logging

    configure_logging("warning")
    url = psycopg_url(load_settings(config).database.url)
    if not url.username:
        raise ConfigError("database.url: name the service's role, as in postgresql://role@host/db")
    password = read_secret(password_file, "--password-file") if password_file else None
    migrate_schema(url.set(username=owner), url.username, typer.echo, password=password)
