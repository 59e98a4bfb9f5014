from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from vault.dev.ports import LOOPBACK, saved_port
from vault.dev.server_settings import Ports, choose_ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        yield int(holder.getsockname()[1])


def test_a_port_that_another_program_took_is_said_with_what_took_its_place(
    tmp_path: Path, taken: int
) -> None:
    choose_ports(tmp_path, None)
    (tmp_path / "service_port").write_text(f"{taken}\n")
    said: list[str] = []
    ports = choose_ports(tmp_path, None, said.append)
    assert ports.service != taken
    assert said == [
        f"Port {taken} is another program's: the service is at 127.0.0.1:{ports.service}"
    ]
    # It is the environment's own from now on.
    assert choose_ports(tmp_path, None, said.append) == ports
    assert len(said) == 1


def test_every_port_that_moves_is_said(tmp_path: Path, taken: int) -> None:
    said: list[str] = []
    for name in Ports._fields:
        (tmp_path / f"{name}_port").write_text(f"{taken}\n")
    choose_ports(tmp_path, None, said.append)
    assert len(said) == len(Ports._fields)


@pytest.mark.parametrize("text", ["", "80", "70000", "a", "é", "-1"])
def test_a_note_that_is_no_port_counts_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "port").write_text(text)
    assert saved_port(tmp_path / "port", 50051) == 50051
    assert saved_port(tmp_path / "port") is None
