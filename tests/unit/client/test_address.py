"""An address that gRPC would take for another one, or for none, is refused where it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from vault.cli.connection import ConnectionOptions
from vault.cli.health import health
from vault.client import Client, ClientTls
from vault.client.address import address_problem

WRONG = {
    "127.0.0.1": "names no port",
    "tokens.example.org": "names no port",
    "[::1]": "names no port",
    "https://127.0.0.1:50051": "leave https:// out",
    "HTTP://h:1/": "leave http:// out",
    "grpc://h:1": "leave grpc:// out",
    "::1": "in brackets",
    "::1:50051": "in brackets",
    "h:1/path": "HOST:PORT",
    "h:": "HOST:PORT",
    ":1": "HOST:PORT",
    "h:0": "HOST:PORT",
    "h:65536": "HOST:PORT",
    "h:port": "HOST:PORT",
    "h :1": "HOST:PORT",
    "h:1\n": "HOST:PORT",
    "me@h:1": "HOST:PORT",
    "": "HOST:PORT",
}
RIGHT = (
    *("h:1", "127.0.0.1:65535", "[::1]:50051", "[fe80::1%eth0]:1", "a_b.example.org:443"),
    *(
        "dns:///h:1",
        "dns:h:1",
        "dns:1",
        "dns:127.0.0.1:1",
        "unix:/run/s",
        "ipv4:127.0.0.1:1",
        "ipv6:[::1]:1",
    ),
)


@pytest.mark.parametrize("address", WRONG)
def test_a_wrong_address_is_refused_and_not_quoted(address: str) -> None:
    problem = address_problem(address)
    assert WRONG[address] in problem
    assert "me@" not in problem
    with pytest.raises(ValueError, match="HOST:PORT"):
        Client(address, ClientTls(Path("nosuch"), Path("nosuch"), Path("nosuch")))


@pytest.mark.parametrize("address", RIGHT)
def test_a_right_address_is_taken(address: str) -> None:
    assert address_problem(address) == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "https://127.0.0.1:50051"])
def test_the_command_line_refuses_it_as_usage(address: str) -> None:
    with pytest.raises(typer.BadParameter, match="HOST:PORT"):
        ConnectionOptions(address=address, ca=Path("ca")).find()
    with pytest.raises(typer.BadParameter, match="HOST:PORT"):
        health(address=address)
