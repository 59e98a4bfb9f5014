"""``tokenvault audit prune``: retention, by an operator with the database's owner's login."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vault.cli.audit.pages import read_checkpoint_file
from vault.cli.databases import owner_engine, service_engine
from vault.cli.extras import needs_server
from vault.cli.server import ConfigOption
from vault.errors import ConfigError

if TYPE_CHECKING:
    from vault.audit.pruning.planning import Plan
    from vault.audit.pruning.prune import AuditPruner
    from vault.config.sections import AuditSettings

__all__ = ["prune"]


@needs_server
def prune(
    *,
    config: ConfigOption,
    owner: Annotated[
        str, typer.Option(metavar="ROLE", help="The database role that owns the tables.")
    ],
    checkpoint: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="A checkpoint kept elsewhere: only records that it covers are dropped.",
        ),
    ],
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the owner's password, mode 0600."),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            metavar="YYYY-MM", help="Only records of before that month, UTC. Default: by retention."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be dropped, and do nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Drop without being asked.")] = False,
) -> None:
    """Drops records of calls that are older than [audit] retention, by whole months.

    Export them first: they are gone for good. Their places in the log stay, with MAC, digest and
    leaf, and a new record says what was dropped. Needs the database, also as its owner, and the
    key server. Run again, it finishes what was interrupted.
    """
    from vault.audit.checkpoint import CheckpointLog
    from vault.cli.audit.pruner import open_pruner
    from vault.config import load_settings

    settings = load_settings(config)
    text = read_checkpoint_file(checkpoint)
    with (
        service_engine(config) as service,
        owner_engine(config, owner, password_file) as as_owner,
    ):
        pruner, tree = open_pruner(settings.keys, service, as_owner, text)
        end = _end(before, settings.audit, pruner)
        log = CheckpointLog(tree.size, tree.root)
        by = f"{_operator()} as {owner}"
        if dry_run:
            typer.echo(f"would prune {_described(pruner.plan(end, log, by))}")
            return
        done = pruner.prune(end, log, by, lambda plan: _confirm(plan, yes))
    typer.echo(f"pruned {_described(done.plan)}; {done.dropped:,} dropped now")


def _confirm(plan: Plan, yes: bool) -> None:
    if plan.pruning is not None and not yes:
        typer.confirm(f"Drop {_described(plan)}? Nothing but an export has them then", abort=True)


def _described(plan: Plan) -> str:
    if plan.pruning is None:
        return f"nothing more: up to position {plan.position:,} it is done"
    pruning = plan.pruning
    return (
        f"{pruning.records:,} records of calls up to position {pruning.position:,}, from before"
        f" {pruning.before:%Y-%m-%d}"
    )


def _end(before: str | None, settings: AuditSettings, pruner: AuditPruner) -> datetime:
    """Returns the time before which records go.

    Of two clocks the earlier counts: one that is ahead must not shorten the retention.
    """
    if settings.retention is None:
        raise ConfigError("audit.retention is not set: records are kept for good")
    now = min(datetime.now(UTC), pruner.now().astimezone(UTC))
    latest = _month(now - settings.retention)
    if before is None:
        return latest
    try:
        wanted = datetime.strptime(before, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter("--before is a month, such as 2026-01") from None
    if wanted > latest:
        raise typer.BadParameter(
            f"--before may be {latest:%Y-%m} at most: audit.retention keeps what is younger"
        )
    return wanted


def _month(time: datetime) -> datetime:
    return time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _operator() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:200]
