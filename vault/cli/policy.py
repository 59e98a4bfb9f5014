"""``tokenvault policy``: policy files, and what a service makes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vault.bulk.shell import shell_word
from vault.cli.audit.options import AuditFilterOptions
from vault.cli.connection import ConnectionOptions
from vault.cli.exits import ExitCode
from vault.cli.extras import needs_server
from vault.cli.options import JsonOption, with_option_groups
from vault.errors import PolicyError

if TYPE_CHECKING:
    from vault.model import Action, Principal
    from vault.policy.model import Policy
    from vault.v1.policy_service_pb2 import GetPolicyResponse

__all__ = ["app"]

app = typer.Typer(
    help="Check policy files, ask them why, and see what is in force.", no_args_is_help=True
)

_TIMES = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"]

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The policy, YAML.")]


@app.command()
@needs_server
@with_option_groups
def check(
    *,
    file: FileArgument,
    strict: Annotated[bool, typer.Option(help="Exit with 1 on warnings too.")] = False,
    server: Annotated[
        bool,
        typer.Option(
            "--server",
            help="Ask a service too what became of this file there; exit with 1 unless it is "
            "in force. The options below say which, as who (read_policy).",
        ),
    ] = False,
    connection: ConnectionOptions,
) -> None:
    """Refuses what is unsafe (exit code 1) and warns of what is weak."""
    # Imported late: other commands need neither YAML nor the formats.
    from vault.policy.lint import Severity, lint

    policy = _policy(file)
    findings = lint(policy)
    for finding in findings:
        typer.echo(finding.text(str(file)))
    warnings = sum(finding.severity is Severity.WARNING for finding in findings)
    typer.echo(
        f"{file}: {len(policy.fields)} fields, {len(policy.roles)} roles, "
        f"{warnings} warnings, digest {policy.digest}"
    )
    found = bool(strict and warnings)
    if server:
        from vault.cli.policy_lines import comparison_lines

        in_force, lines = comparison_lines(policy.digest, _fetch_policy(connection))
        for line in lines:
            typer.echo(line)
        found = found or not in_force
    if found:
        raise typer.Exit(ExitCode.FOUND)


@app.command()
@with_option_groups
def show(
    *,
    document: Annotated[
        bool, typer.Option("--document", help="Print the policy itself, as its file has it.")
    ] = False,
    connection: ConnectionOptions,
) -> None:
    """Shows which policy is in force, and why the server's file is not. Needs read_policy.

    Exit code 1 if the file of the server that answered is refused.
    """
    from vault.cli.policy_lines import status_lines

    answer = _fetch_policy(connection)
    if document:
        typer.echo(answer.document, nl=False)
        return
    for line in status_lines(answer):
        typer.echo(line)
    if answer.file.state == "REFUSED":
        raise typer.Exit(ExitCode.FOUND)


@app.command()
@needs_server
def explain(
    file: FileArgument,
    principal: Annotated[
        str,
        typer.Option(metavar="ID", help="Who calls: a SPIFFE ID, or ISSUER#SUBJECT of a JWT."),
    ],
    action: Annotated[str, typer.Option(help="What for, such as detokenize.")],
    field: Annotated[str | None, typer.Option(help="On which field.")] = None,
    view: Annotated[str, typer.Option(help="In which view; left out, the one granted.")] = "",
    purpose: Annotated[str, typer.Option(metavar="NAME", help="What for.")] = "",
    ticket: Annotated[str, typer.Option(metavar="ID", help="Of which ticket.")] = "",
    at: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", formats=_TIMES, help="When, UTC; left out, now."),
    ] = None,
    address: Annotated[
        str, typer.Option("--from", metavar="ADDRESS", help="From which IP address.")
    ] = "",
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'ISSUER AUDIENCE CLAIM VALUE'", help="A claim of the JWT; may be repeated."
        ),
    ] = None,
) -> None:
    """Shows how a call would be decided, and by which rules; exit code 1 if not allowed."""
    from vault.policy.conditions import CallContext
    from vault.policy.decide import Deny
    from vault.policy.explain import explain as explained
    from vault.policy.roles import FIELDLESS

    policy = _policy(file)
    chosen = _action(action)
    if field is not None and chosen in FIELDLESS:
        raise typer.BadParameter(f"{chosen} is about no field: leave --field out")
    if field is not None and field not in policy.fields:
        typer.echo(
            f"the policy has no field {shell_word(field)}; it has: {', '.join(policy.fields)}"
        )
    time = datetime.now(UTC) if at is None else at.replace(tzinfo=at.tzinfo or UTC)
    context = CallContext(purpose, ticket, time, _address(address))
    found = explained(policy, _principal(principal, group or []), chosen, field, view, context)
    for line in found.lines(str(file)):
        typer.echo(line)
    if isinstance(found.decision, Deny):
        raise typer.Exit(ExitCode.FOUND)


@app.command()
@needs_server
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The policy before, YAML.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The policy after it.")],
    as_json: JsonOption = False,
) -> None:
    """Shows who gains and who loses what, and what else differs in effect.

    Exit code 1 if anything does, 2 if one of them is no valid policy.
    """
    from vault.cli.policy_diff_lines import diff_json, diff_lines
    from vault.policy.diff import diff as difference

    before, after = (_parse(file) for file in (old, new))
    found = difference(before, after)
    lines = [diff_json(found, before, after)] if as_json else diff_lines(found, before, after)
    for line in lines:
        typer.echo(line)
    if found:
        raise typer.Exit(ExitCode.FOUND)


@app.command()
@needs_server
@with_option_groups
def simulate(
    *,
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The new policy, YAML.")],
    start: Annotated[
        int, typer.Option("--from", metavar="N", min=1, help="First position: reads less.")
    ] = 1,
    recorded: Annotated[
        bool,
        typer.Option(
            "--by-recorded-roles",
            help="Take callers with a JWT to hold the roles that their records name, and no "
            "others. Left out, what hangs on their groups cannot be told.",
        ),
    ] = False,
    as_json: JsonOption = False,
    records: AuditFilterOptions,
    connection: ConnectionOptions,
) -> None:
    """Judges the calls in the audit by a new policy: what would be refused, allowed, narrowed.

    Exit code 0 if nothing would change, 1 if something would or cannot be told, or a record is
    missing or was edited; 2 if NEW is no valid policy. Needs read_audit.
    """
    from vault.cli.audit.options import rpc_paths
    from vault.cli.audit.pages import ROLE, FindingReporter, audit_pages
    from vault.cli.audit.simulation import Tally, simulation_json, simulation_lines
    from vault.policy.simulate import Simulator
    from vault.rpc.permissions import permissions

    policy = _parse(new)
    actions = {path.rpartition("/")[2]: act for path, act in permissions(rpc_paths()).items()}
    tally = Tally(Simulator(policy, by_recorded_roles=recorded), actions)
    reporter = FindingReporter()
    with connection.open(default_role=ROLE) as client:
        for page in audit_pages(client, start, records.filter()):
            reporter.report(page.findings)
            for record in page.records:
                tally.feed(record)
    shown = [simulation_json(tally, policy.digest)] if as_json else simulation_lines(tally)
    for line in shown:
        typer.echo(line)
    if tally.unreadable:
        message = f"{tally.unreadable:,} records are missing or were edited: run"
        typer.echo(f"{message} `tokenvault audit verify`", err=True)
    if tally.changes or tally.unreadable:
        raise typer.Exit(ExitCode.FOUND)
    reporter.exit()


def _fetch_policy(connection: ConnectionOptions) -> GetPolicyResponse:
    with connection.open(default_role="auditor") as client:
        return client.get_policy()


def _principal(name: str, groups: list[str]) -> Principal:
    from vault.model import Group, Principal

    if name.startswith("spiffe://"):
        return Principal("spiffe", name)
    issuer, _, subject = name.rpartition("#")
    held = [each.split(maxsplit=3) for each in groups]
    if not issuer or any(len(each) != len(Group._fields) for each in held):
        raise typer.BadParameter(
            "write ISSUER#SUBJECT, and groups as 'ISSUER AUDIENCE CLAIM VALUE'"
        )
    return Principal(issuer, subject, frozenset(Group(*each) for each in held))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"--from {shell_word(text)} is no IP address") from None


def _action(name: str) -> Action:
    from vault.model import Action

    try:
        return Action(name)
    except ValueError:
        known = ", ".join(sorted(Action))
        raise typer.BadParameter(f"{shell_word(name)} is no action; known: {known}") from None


def _parse(file: Path) -> Policy:
    # Imported late: other commands need neither YAML nor the formats.
    from vault.policy.reading.load import parse_policy

    return parse_policy(_read(file), str(file))


def _policy(file: Path) -> Policy:
    try:
        return _parse(file)
    except PolicyError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(ExitCode.FOUND) from None


def _read(file: Path) -> str:
    try:
        # Bytes, decoded: the digest is that of the file as it is, line ends included.
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError(f"{file}: is not UTF-8 text") from None
