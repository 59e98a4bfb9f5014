"""``tokenvault keys``: what is stored of the data keys, and what an operator says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vault.cli.databases import service_engine
from vault.cli.extras import needs_server
from vault.cli.printable import table
from vault.cli.server import ConfigOption

if TYPE_CHECKING:
    from vault.store.data_keys import PostgresDataKeyStore

__all__ = ["app"]

app = typer.Typer(
    help="Look at the data keys, or say that the database was restored or its keys are right.",
    no_args_is_help=True,
)

_HEAD = ("tenant", "field", "purpose", "version", "active", "reserved", "created")
# Said only where it can be misread.
_RESERVED = (
    "reserved: encryptions that servers have set aside, a block at a time, before making any; "
    "far fewer may have been made. Only field keys are counted."
)


@app.command("list")
@needs_server
def list_keys(config: ConfigOption) -> None:
    """Lists every version of every data key. Needs the database, not the key server.

    How many encryptions a key has made is known to the servers only; what is stored, and
    shown, is how many they have reserved.
    """
    with _store(config) as store:
        records = store.all()
    rows = [
        (
            record.tenant,
            record.field or "-",
            record.purpose,
            str(record.version),
            "yes" if record.active else "no",
            f"{record.uses:,}" if record.purpose == "field" else "-",
            record.created.isoformat(timespec="seconds") if record.created else "-",
        )
        for record in records
    ]
    for line in table(_HEAD, rows):
        typer.echo(line)
    if any(record.uses for record in records):
        typer.echo(f"\n{_RESERVED}")


@app.command("restored")
@needs_server
def restored(config: ConfigOption) -> None:
    """Says that the database was restored from a copy of its files.

    Restores from a dump, recoveries to a point in time and promotions of a standby are
    noticed without it. Every server begins new versions of all field keys at its next
    start, or when it next refreshes its keys.
    """
    with _store(config) as store:
        said = store.begin_epoch("", [])
    typer.echo(
        "noted: servers begin new key versions when they start"
        if said
        else "noted before: no server has started since"
    )


@app.command("accept")
@needs_server
def accept(
    config: ConfigOption,
    give_up: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="Its keys are lost for good: no server answers for it. May be repeated.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Give up without being asked again.")] = False,
) -> None:
    """Says that the data keys that are stored now are right, where no backup has better ones.

    Writes a new generation of the key manifest. Find out first who changed what: a wrong key
    that is accepted reads other values from tokens. Needs the database and the key server.
    """
    from vault.audit.named_manifests import read_named_manifests
    from vault.config import load_settings
    from vault.keys.accepting import accept_keys
    from vault.keys.hashicorp import HashicorpKeyWrapper
    from vault.model import DEFAULT_TENANT
    from vault.store.data_keys import PostgresDataKeyStore

    given_up = set(give_up or ())
    if given_up and not yes:
        typer.confirm(
            f"Nobody reads a value of {', '.join(sorted(given_up))} again. Go on?", abort=True
        )
    wrapper = HashicorpKeyWrapper(load_settings(config).keys)
    try:
        with service_engine(config) as engine:
            store = PostgresDataKeyStore(engine)
            named_manifests = partial(read_named_manifests, engine)
            accepted = accept_keys(store, wrapper, DEFAULT_TENANT, given_up, named_manifests)
    finally:
        wrapper.close()
    for line in accepted.changed:
        typer.echo(f"accepted: {line}")
    typer.echo(f"generation {accepted.generation} of the manifest lists {accepted.keys} keys")
    for field in sorted(given_up):
        typer.echo(f"given up: {field}; its tokens cannot be read and no new ones are made")


@app.command("public")
@needs_server
def public_keys(
    config: ConfigOption,
    certify: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Have this ed25519 key of Transit sign them; needs --token-file."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A login to the key server that may read and sign."),
    ] = None,
) -> None:
    """Prints the public keys that verify checkpoints, a line each, the oldest first.

    With --certify a signed note of each instead, and on standard error the key that verifies
    the notes; whoever checks takes that from the key server itself. Needs the database and
    the key server. A restore begins an origin: certify again.
    """
    from vault.audit.tlog.note import NoteKey
    from vault.cli.checkpoint_keys import certificate, checkpoint_vkeys, transit_signer
    from vault.config import load_settings
    from vault.keys.hashicorp import HashicorpKeyWrapper

    if (certify is None) != (token_file is None):
        raise typer.BadParameter("--certify and --token-file go together")
    settings = load_settings(config).keys
    wrapper = HashicorpKeyWrapper(settings)
    try:
        with service_engine(config) as engine:
            vkeys = checkpoint_vkeys(engine, wrapper)
    finally:
        wrapper.close()
    if certify is None or token_file is None:
        for vkey in vkeys:
            typer.echo(vkey)
        return
    with transit_signer(settings, certify, token_file) as signer:
        for vkey in vkeys:
            typer.echo(str(certificate(vkey, signer)).encode())
        typer.echo(NoteKey(signer.name, signer.public).to_vkey(), err=True)


@contextmanager
def _store(config: Path) -> Iterator[PostgresDataKeyStore]:
    from vault.store.data_keys import PostgresDataKeyStore

    with service_engine(config) as engine:
        yield PostgresDataKeyStore(engine)
