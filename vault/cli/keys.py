"""``tokenvault keys``: what the database knows about the data keys; never a key."""

from __future__ import annotations

import typer

from vault.cli.server import ConfigOption

__all__ = ["app"]

app = typer.Typer(help="Look at the data keys.", no_args_is_help=True)

_HEAD = ("tenant", "field", "purpose", "version", "active", "uses", "created")


@app.callback()
def _group() -> None:
    """Keeps ``list`` a command of its own while it is the only one."""


@app.command("list")
def list_keys(config: ConfigOption) -> None:
    """Lists every version of every data key. Needs the database, not the key server."""
    from vault.config import load_settings, read_secret
    from vault.rpc.logging import configure_logging
    from vault.store.data_keys import PostgresDataKeyStore
    from vault.store.engine import make_engine

    configure_logging("warning")
    database = load_settings(config).database
    password = None
    if database.password_file is not None:
        password = read_secret(database.password_file, "database.password_file")
    engine = make_engine(database.url, password=password, pool_size=1)
    try:
        records = PostgresDataKeyStore(engine).all()
    finally:
        engine.dispose()
    rows = [_HEAD]
    for record in records:
        rows.append(
            (
                record.tenant,
                record.field or "-",
                record.purpose,
                str(record.version),
                "yes" if record.active else "no",
                f"{record.uses:,}",
                record.created.isoformat(timespec="seconds") if record.created else "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
