"""deploy/hashicorp-vault/setup.sh against a real OpenBao, with names of one's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vault.config import KeysSettings
from vault.dev.openbao import DevOpenBao, find_binary
from vault.keys.hashicorp import HashicorpKeyWrapper

SCRIPT = Path(__file__).parents[3] / "deploy/hashicorp-vault/setup.sh"


def set_up(openbao: DevOpenBao, directory: Path, **names: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(directory),
        "CLI": str(find_binary()),
        "BAO_ADDR": openbao.address,
        "BAO_CACERT": str(openbao.ca),
        "BAO_TOKEN": openbao.admin()._adapter.token or "",
        **names,
    }
    return subprocess.run(
        ["sh", str(SCRIPT), str(directory / "ids")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_service_can_log_in_and_make_keys(openbao: DevOpenBao, private_tmp: Path) -> None:
    names = {"TRANSIT_MOUNT": "own-transit", "KEY_NAME": "own-key", "ROLE_NAME": "own-role"}
    first, done = (set_up(openbao, private_tmp, **names) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert done.returncode == 0, done.stderr
    ids = private_tmp / "ids"
    assert {path.stat().st_mode & 0o777 for path in ids.iterdir()} == {0o600}
    assert (ids / "secret_id").read_text().strip() not in done.stdout + done.stderr
    keys = HashicorpKeyWrapper(
        KeysSettings.model_validate(
            {
                "address": openbao.address,
                "ca": str(openbao.ca),
                "transit_mount": "own-transit",
                "key_name": "own-key",
                "auth": {
                    "method": "approle",
                    "role_id_file": str(ids / "role_id"),
                    "secret_id_file": str(ids / "secret_id"),
                },
            }
        )
    )
    try:
        (wrapped,) = keys.generate([b"context"])
        assert len(keys.unwrap([(b"context", wrapped)])[0]) == 32
    finally:
        keys.close()


def test_a_key_that_is_not_derived_is_refused(openbao: DevOpenBao, private_tmp: Path) -> None:
    admin = openbao.admin()
    admin.write("sys/mounts/other-transit", {"type": "transit"})
    admin.write("other-transit/keys/flat", {"type": "aes256-gcm96"})
    done = set_up(openbao, private_tmp, TRANSIT_MOUNT="other-transit", KEY_NAME="flat")
    assert done.returncode == 1
    assert "not a derived key" in done.stderr
    assert not (private_tmp / "ids/secret_id").exists()


@pytest.mark.parametrize("name", ["a b", "a/b", "a#b", "$(id)", 'a"b'])
def test_a_name_that_is_none_is_refused(openbao: DevOpenBao, private_tmp: Path, name: str) -> None:
    done = set_up(openbao, private_tmp, KEY_NAME=name)
    assert done.returncode == 2
    assert "names are of" in done.stderr
