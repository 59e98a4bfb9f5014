from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vault.dev.ports import LOOPBACK, persistent_port, saved_port
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


def test_a_port_is_given_once_and_kept_from_others(tmp_path: Path) -> None:
    # As many as a run of the tests has: before, one run in some found two alike.
    ports = [persistent_port(tmp_path / str(number)) for number in range(600)]
    assert len(set(ports)) == len(ports)
    others = set()
    for _ in range(2000):
        with socket.socket() as other:
            other.bind((LOOPBACK, 0))
            others.add(other.getsockname()[1])
    assert sys.platform != "linux" or others.isdisjoint(ports)


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_the_server_that_a_port_is_for_may_listen_on_it(tmp_path: Path, option: int) -> None:
    port = persistent_port(tmp_path / "port")
    for _ in range(2):  # and once more after it ended
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, option, 1)
            server.bind((LOOPBACK, port))
            server.listen()
            assert persistent_port(tmp_path / "other", port) != port
    assert persistent_port(tmp_path / "port") == port


def test_a_port_that_another_is_quicker_to_take_is_not_given(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.dev.ports.is_free", lambda _: True)
    assert persistent_port(tmp_path / "port", taken) != taken


def test_two_environments_that_start_together_get_a_port_each(tmp_path: Path) -> None:
    preferred = persistent_port(tmp_path / "port")
    ask = (
        "import sys; from pathlib import Path; from vault.dev.ports import persistent_port;"
        f"print(persistent_port(Path(sys.argv[1]), {preferred + 1}), flush=True); input()"
    )

    def environment(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ask, str(tmp_path / name)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    with environment("one") as one, environment("two") as two:
        given = {process.stdout.readline() for process in (one, two) if process.stdout}
        for process in (one, two):
            process.communicate("\n")
    assert len(given) == 2
