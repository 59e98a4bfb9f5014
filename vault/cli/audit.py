"""``tokenvault audit``: the audit, through the service."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vault.cli.connection import (
    AddressOption,
    CaOption,
    CertOption,
    DevOption,
    KeyOption,
    RoleOption,
    find_connection,
)
from vault.cli.exits import ExitCode

__all__ = ["app"]

app = typer.Typer(help="Check the audit.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``verify`` a command of its own while it is the only one."""


@app.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    dev: DevOption = None,
    role: RoleOption = None,
    address: AddressOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
) -> None:
    """Has the service verify every audit record. Exit code 1 if anything is wrong."""
    connection = find_connection(dev, role, address, ca, cert, key, default_role="auditor")
    with connection.open() as client:
        answer = client.verify_audit()
    if as_json:
        findings = [
            {
                "kind": each.kind,
                "writer": each.writer,
                "number": each.number,
                "message": each.message,
            }
            for each in answer.findings
        ]
        typer.echo(
            json.dumps({"records": answer.records, "writers": answer.writers, "findings": findings})
        )
    else:
        writers = "1 writer" if answer.writers == 1 else f"{answer.writers:,} writers"
        typer.echo(f"{answer.records:,} records of {writers} read")
        for each in answer.findings:
            typer.echo(f"{each.kind}: writer {each.writer}, record {each.number}: {each.message}")
        typer.echo(f"{len(answer.findings):,} findings" if answer.findings else "nothing is wrong")
    if answer.findings:
        raise typer.Exit(ExitCode.FOUND)
