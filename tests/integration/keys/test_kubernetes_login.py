"""Logging in by a Kubernetes service account, on a real OpenBao set up by setup.sh."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vault.config import KeyAuthSettings, KeysSettings
from vault.dev.openbao import DevOpenBao, find_binary
from vault.dev.private_files import write_private
from vault.errors import ConfigError, KeysUnavailable
from vault.keys.hashicorp import HashicorpKeyWrapper

if TYPE_CHECKING:
    from tests.integration.keys.conftest import KubernetesApi

SCRIPT = Path(__file__).parents[3] / "deploy/hashicorp-vault/setup.sh"
CONTEXT = b"\x00\x00\x00\x07default"


@pytest.fixture(scope="module")
def role(
    openbao: DevOpenBao, kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Twice, because running the script again must change nothing that is right."""
    directory = tmp_path_factory.mktemp("setup")
    reviewer = write_private(directory / "reviewer", kubernetes.token("vault", seconds=3600))
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(directory),
        "CLI": str(find_binary()),
        "BAO_ADDR": openbao.address,
        "BAO_CACERT": str(openbao.ca),
        "BAO_TOKEN": openbao.admin()._adapter.token or "",
        "AUTH": "kubernetes",
        "AUTH_MOUNT": "own-cluster",
        "NAMESPACE": "vaults",
        "AUDIENCE": "https://vault.example.org",
        "KUBERNETES_HOST": kubernetes.address,
        "KUBERNETES_CA": str(openbao.ca),
        "REVIEWER_JWT": str(reviewer),
    }
    for _ in range(2):
        done = subprocess.run(
            ["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert list(directory.iterdir()) == [reviewer]
    return "tokenvault"


def settings(openbao: DevOpenBao, token_file: Path, role: str) -> KeysSettings:
    auth = {
        "method": "kubernetes",
        "mount": "own-cluster",
        "role": role,
        "service_account_token_file": str(token_file),
    }
    return KeysSettings.model_validate(
        {"address": openbao.address, "ca": str(openbao.ca), "auth": auth}
    )


@pytest.fixture
def keys(openbao: DevOpenBao, role: str, pod_token: Path) -> Iterator[HashicorpKeyWrapper]:
    made = HashicorpKeyWrapper(settings(openbao, pod_token, role))
    yield made
    made.close()


def test_a_service_account_logs_in_and_makes_keys(keys: HashicorpKeyWrapper) -> None:
    (wrapped,) = keys.generate([CONTEXT])
    assert len(keys.unwrap([(CONTEXT, wrapped)])[0]) == 32
    ready, message, left = keys.status()
    assert (ready, message) == (True, "")
    assert 3000 < left <= 3600


def test_a_rotated_token_is_read_at_the_next_login(
    openbao: DevOpenBao, keys: HashicorpKeyWrapper, pod_token: Path, kubernetes: KubernetesApi
) -> None:
    """As the kubelet does it: a new file under a new name, and a link moved over to it."""
    first, target = pod_token.with_name("first"), pod_token.with_name("second")
    pod_token.rename(first)
    pod_token.symlink_to(first)
    keys.generate([CONTEXT])
    held = keys._connection._adapter.token
    openbao.admin().write("auth/token/revoke", {"token": held})
    first.write_text(kubernetes.token(seconds=-5))
    assert "login is refused" in keys.status().message
    target.write_text(kubernetes.token())
    link = pod_token.with_name("link")
    link.symlink_to(target)
    link.replace(pod_token)
    keys.generate([CONTEXT])
    assert keys.status().ready
    assert keys._connection._adapter.token != held


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": "another"},
        {"namespace": "default"},
        {"audience": "https://kubernetes.default.svc"},
        {"forged": True},
        {"seconds": -5},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_another_pods_token_is_refused(
    keys: HashicorpKeyWrapper,
    kubernetes: KubernetesApi,
    pod_token: Path,
    wrong: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = kubernetes.token(**wrong)  # type: ignore[arg-type] # bool and int beside str
    pod_token.write_text(token)
    with pytest.raises(KeysUnavailable, match="Kubernetes login is refused") as failure:
        keys.log_in()
    assert token not in repr(failure.value) + caplog.text
    assert failure.value.__suppress_context__


def test_a_role_that_does_not_exist(openbao: DevOpenBao, role: str, pod_token: Path) -> None:
    keys = HashicorpKeyWrapper(settings(openbao, pod_token, f"{role}-other"))
    with pytest.raises(KeysUnavailable, match="Kubernetes login is refused"):
        keys.log_in()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o440])
def test_any_mode_the_kubelet_sets_is_fine(
    keys: HashicorpKeyWrapper, pod_token: Path, mode: int
) -> None:
    pod_token.chmod(mode)
    keys.log_in()


@pytest.mark.parametrize("mode", [0o620, 0o660, 0o646, 0o666])
def test_a_token_that_others_can_replace_is_refused(
    keys: HashicorpKeyWrapper, pod_token: Path, mode: int
) -> None:
    pod_token.chmod(mode)
    with pytest.raises(ConfigError, match="can be written by others"):
        keys.log_in()


def test_the_default_file_is_the_pods_own() -> None:
    auth = KeyAuthSettings.model_validate({"method": "kubernetes", "role": "tokenvault"})
    assert str(auth.service_account_token_file).startswith("/var/run/secrets/kubernetes.io/")
