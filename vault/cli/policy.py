"""``tokenvault policy``: policy files, without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vault.cli.exits import ExitCode
from vault.errors import PolicyError

__all__ = ["app"]

app = typer.Typer(help="Check policy files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``check`` a command of its own while it is the only one."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy, YAML.")],
    strict: Annotated[bool, typer.Option(help="Exit with 1 on warnings too.")] = False,
) -> None:
    """Refuses what is unsafe (exit code 1) and warns of what is weak."""
    # Imported late: other commands need neither YAML nor the formats.
    from vault.policy.lint import Severity
    from vault.policy.lint import check as lint
    from vault.policy.load import parse_policy

    try:
        policy = parse_policy(_read(file), str(file))
    except PolicyError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(ExitCode.FOUND) from None
    findings = lint(policy)
    for finding in findings:
        typer.echo(finding.text(str(file)))
    warnings = sum(finding.severity is Severity.WARNING for finding in findings)
    typer.echo(
        f"{file}: {len(policy.fields)} fields, {len(policy.roles)} roles, "
        f"{warnings} warnings, digest {policy.digest}"
    )
    if strict and warnings:
        raise typer.Exit(ExitCode.FOUND)


def _read(file: Path) -> str:
    try:
        # Bytes, decoded: the digest is that of the file as it is, line ends included.
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError(f"{file}: is not UTF-8 text") from None
