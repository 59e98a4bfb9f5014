"""One server per port: the lock file, and the port kept while no worker listens."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vault.dev.ports import persistent_port
from vault.errors import ConfigError
from vault.server.port_binding import reserved_port
from vault.server.port_lock import port_lock


def test_a_port_has_one_holder_at_a_time(private_tmp: Path) -> None:
    with port_lock("server.port", 50051, private_tmp):
        with (
            pytest.raises(ConfigError, match=rf"port 50051, as process {os.getpid()}"),
            port_lock("server.port", 50051, private_tmp),
        ):
            pytest.fail("two have it")
        with port_lock("server.port", 50061, private_tmp):
            pass
    with port_lock("server.port", 50051, private_tmp):
        pass


def test_a_link_in_the_lock_file_s_place_is_not_followed(private_tmp: Path) -> None:
    target = private_tmp / "precious"
    target.write_text("data")
    (private_tmp / f"tokenvault-{os.geteuid()}-50051.lock").symlink_to(target)
    with (
        pytest.raises(ConfigError, match="cannot open the lock file"),
        port_lock("server.port", 50051, private_tmp),
    ):
        pytest.fail("followed")
    assert target.read_text() == "data"


def test_a_reserved_port_is_for_workers_alone(private_tmp: Path) -> None:
    port = persistent_port(private_tmp / "port")
    with reserved_port("server.port", "127.0.0.1", port):
        with (
            pytest.raises(ConfigError, match=rf"server\.port: cannot listen on 127.0.0.1:{port}"),
            reserved_port("server.port", "127.0.0.1", port),
        ):
            pytest.fail("reserved twice")
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))
            worker.listen()
            with socket.create_connection(("127.0.0.1", port), timeout=2):
                worker.settimeout(2)
                worker.accept()[0].close()
