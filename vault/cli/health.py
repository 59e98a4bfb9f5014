"""``tokenvault health``: one question to the health server, for probes without gRPC."""

from __future__ import annotations

from typing import Annotated

import typer

from vault.cli.connection import DevOption, one_service
from vault.cli.dev_directory import find_health
from vault.cli.extras import needs_server

__all__ = ["health"]

_DEFAULT = "127.0.0.1:50052"


@needs_server
def health(
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            callback=one_service,
            help="Where the health server is. Default: of the development environment in "
            f"./.tokenvault, or where there is none, {_DEFAULT}.",
        ),
    ] = None,
    service: Annotated[
        str,
        typer.Option(
            help="readiness, liveness, or one probe: database, keys, policy, policy_file, audit, "
            "files, workers."
        ),
    ] = "readiness",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait.")] = 3.0,
    dev: DevOption = None,
) -> None:
    """Prints a server's health. Exit code 0 if it serves, 1 if not, 4 if it does not answer."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from vault.cli.exits import ExitCode
    from vault.client.address import address_problem
    from vault.client.loopback import no_proxy_options
    from vault.client.transport import explain_status

    address = address or find_health(dev) or _DEFAULT
    if problem := address_problem(address):
        raise typer.BadParameter(problem)
    with grpc.insecure_channel(address, no_proxy_options(address)) as channel:
        ask = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(ask, timeout=timeout)
        except grpc.RpcError as error:
            message = explain_status(error.code(), error.details() or "")
            typer.echo(f"tokenvault: no answer: {error.code().name}: {message}", err=True)
            raise typer.Exit(ExitCode.UNAVAILABLE) from None
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    typer.echo(status)
    if status != "SERVING":
        raise typer.Exit(ExitCode.FOUND)
