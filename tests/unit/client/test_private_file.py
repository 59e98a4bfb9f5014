"""Who may read a caller's key and change its token."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
import pytest

from vault.client.jwt import ClientJwt, _Bearer
from vault.client.private_file import read_private, read_unshared


def written(path: Path, mode: int, owner: int | None = None) -> Path:
    path.write_text("secret\n")
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner, owner)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_key_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    assert read_private(written(tmp_path / "key", mode)) == b"secret\n"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o606, 0o660, 0o620, 0o601])
def test_a_key_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "key", mode)
    with pytest.raises(OSError, match="chmod 600 it") as caught:
        read_private(path)
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_group_may_read_what_is_root_s(tmp_path: Path) -> None:
    assert read_private(written(tmp_path / "root's", 0o640, owner=0)) == b"secret\n"
    with pytest.raises(OSError, match="chmod 600 it"):
        read_private(written(tmp_path / "another's", 0o640, owner=1000))


def test_a_link_is_no_way_round(tmp_path: Path) -> None:
    written(tmp_path / "key", 0o644)
    (tmp_path / "link").symlink_to("key")
    with pytest.raises(OSError, match="chmod 600 it"):
        read_private(tmp_path / "link")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_token_that_an_orchestrator_keeps_readable_is_read(tmp_path: Path, mode: int) -> None:
    assert read_unshared(written(tmp_path / "token", mode)) == b"secret\n"


@pytest.mark.parametrize("mode", [0o660, 0o602, 0o666])
def test_a_token_that_others_can_change_is_not_sent(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "token", mode)
    sent: list[tuple[object, Exception | None]] = []
    bearer = _Bearer(ClientJwt(tmp_path / "ca", path).jwt)
    context = grpc.AuthMetadataContext()
    bearer(context, lambda headers, error: sent.append((headers, error)))
    ((headers, error),) = sent
    assert headers == ()
    assert "others can change it" in str(error)
