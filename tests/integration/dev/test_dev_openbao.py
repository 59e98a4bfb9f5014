from __future__ import annotations

from pathlib import Path

import pytest

from vault.dev.authority import Authority
from vault.dev.openbao import DevOpenBao
from vault.errors import SetupError


def test_a_second_start_unseals_and_goes_on(private_tmp: Path) -> None:
    authority = Authority(private_tmp / "pki")
    context = {"context": "AAAA"}
    with DevOpenBao(private_tmp / "openbao", authority) as server:
        role = server.setup()
        ids = (role.role_id_file.read_text(), role.secret_id_file.read_text())
        path = f"transit/datakey/wrapped/{role.key_name}"
        made = server.admin().write(path, context)["data"]
        assert isinstance(made, dict)
        port = server.port
    with DevOpenBao(private_tmp / "openbao", authority) as server:
        assert server.port == port
        assert server.setup() == role
        assert (role.role_id_file.read_text(), role.secret_id_file.read_text()) == ids
        body = {**context, "ciphertext": made["ciphertext"]}
        assert server.admin().write(f"transit/decrypt/{role.key_name}", body)["data"]
        key = server.admin().read(f"transit/keys/{role.key_name}")["data"]
        assert isinstance(key, dict)
        assert (key["derived"], key["type"], key["latest_version"]) == (True, "aes256-gcm96", 1)
        assert (key["exportable"], key["deletion_allowed"]) == (False, False)


def test_every_file_is_for_its_owner_alone(openbao: DevOpenBao) -> None:
    openbao.setup("modes")
    for path in openbao._directory.rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        # OpenBao makes one directory of its own inside of one that is closed.
        if path != openbao._directory / "raft" / "raft":
            assert path.stat().st_mode & 0o777 == wanted, path


def test_lost_keys_are_named(private_tmp: Path) -> None:
    authority = Authority(private_tmp / "pki")
    with DevOpenBao(private_tmp / "openbao", authority):
        pass
    (private_tmp / "openbao/root.token").unlink()
    with pytest.raises(SetupError, match="its keys are gone"):
        DevOpenBao(private_tmp / "openbao", authority).start()
