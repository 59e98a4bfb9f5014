"""The `tokenvault` command.

Exit codes: 0 all is well; 1 some rows were rejected, or something was found; 2 wrong
usage, file, setting or policy; 3 the service refused the caller; 4 a service is unavailable;
5 an error of Tokenvault's own; 130 Ctrl-C; 141 nobody reads the output any more.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from vault.cli import (
    access,
    convert,
    development,
    erase,
    freeze,
    health,
    honey,
    keys,
    login,
    policy,
    reveal,
    server,
)
from vault.cli.audit.commands import app as audit_app
from vault.cli.exits import ExitCode, describe_failure
from vault.cli.printable import printable_streams
from vault.distribution import version

__all__ = ["app", "run"]

app = typer.Typer(
    name="tokenvault",
    help="Tokenization and format-preserving encryption of sensitive data.\n\n"
    "Exit codes: 0 all is well; 1 rows were rejected or something was found; 2 wrong usage, "
    "file, setting or policy; 3 the service refused; 4 a service is unavailable; 5 an error of "
    "Tokenvault's own; 130 Ctrl-C; 141 nobody reads the output any more.",
    no_args_is_help=True,
    add_completion=False,
    # Plain text: an error is one line that a script can read, and never a table of
    # local variables, which hold values.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(convert.tokenize)
app.command()(convert.detokenize)
app.command()(erase.erase)
app.command()(login.login)
app.command("dev")(development.dev)
app.command()(server.serve)
app.command()(server.migrate)
app.command()(health.health)
app.add_typer(policy.app, name="policy")
app.add_typer(access.app, name="access")
app.add_typer(reveal.app, name="reveal")
app.add_typer(freeze.app, name="freeze")
app.add_typer(honey.app, name="honey")
app.add_typer(keys.app, name="keys")
app.add_typer(audit_app, name="audit")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tokenvault {version()}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Takes the options that stand before a command."""


def run() -> None:
    """Runs the command line and exits. Never shows a traceback: it could quote a value."""
    with printable_streams():
        _run()


def _exit_with_own_code(end: SystemExit) -> None:
    """Exits with another code where Typer's 1 would say that something was found."""
    cause = end.__context__ if end.code == 1 else None
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):  # at a question
            sys.exit(ExitCode.INTERRUPTED)
        if isinstance(cause, BrokenPipeError):
            # What is still in the buffer could not be written at the end either.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(ExitCode.UNREAD)
        cause = cause.__context__


def _run() -> None:
    try:
        app(prog_name="tokenvault")
    except SystemExit as end:
        _exit_with_own_code(end)
        raise
    except KeyboardInterrupt:
        typer.echo("tokenvault: interrupted", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last line of defence against leaks
        message, code = describe_failure(error)
        typer.echo(f"tokenvault: {message}", err=True)
        sys.exit(code)
