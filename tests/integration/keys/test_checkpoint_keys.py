"""The public keys of checkpoints, and the key server's certificates of them."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from vault.audit.checkpoint import Checkpoint
from vault.audit.origin import read_origin
from vault.audit.tlog.note import Note, NoteKey
from vault.cli.checkpoint_keys import certificate, checkpoint_vkeys, transit_signer
from vault.config import KeysSettings, read_secret
from vault.dev.openbao import AppRoleFiles, DevOpenBao
from vault.dev.private_files import write_private
from vault.errors import AuditUnavailable, ConfigError, KeysUnavailable
from vault.keys.connection import KeyServerConnection
from vault.keys.hashicorp import HashicorpKeyWrapper
from vault.keys.keyring import Keyring
from vault.model import DEFAULT_TENANT
from vault.store.data_keys import PostgresDataKeyStore

NAME = "audit-certificates"
POLICY = {
    "path": {
        f"transit/keys/{NAME}": {"capabilities": ["read"]},
        f"transit/sign/{NAME}": {"capabilities": ["update"]},
    }
}


@pytest.fixture
def wrapper(keys_settings: KeysSettings) -> Iterator[HashicorpKeyWrapper]:
    made = HashicorpKeyWrapper(keys_settings)
    yield made
    made.close()


@pytest.fixture
def ring(engine: Engine, wrapper: HashicorpKeyWrapper) -> Keyring:
    made = Keyring(PostgresDataKeyStore(engine), wrapper, [])
    made.reload()
    return made


@pytest.fixture
def operator(openbao: DevOpenBao, app_role: AppRoleFiles, private_tmp: Path) -> Path:
    """A file with a token that may sign under one key of Transit, and nothing else."""
    assert app_role.key_name
    admin = openbao.admin()
    admin.write(f"transit/keys/{NAME}", {"type": "ed25519"})
    admin.write(f"sys/policies/acl/{NAME}", {"policy": json.dumps(POLICY)})
    made = admin.write("auth/token/create", {"policies": [NAME], "no_default_policy": True})
    auth = made["auth"]
    assert isinstance(auth, dict)
    return write_private(private_tmp / "token", str(auth["client_token"]))


def test_the_printed_key_verifies_what_servers_sign(
    engine: Engine, wrapper: HashicorpKeyWrapper, ring: Keyring
) -> None:
    (vkey,) = checkpoint_vkeys(engine, wrapper)
    with engine.connect() as connection:
        origin = read_origin(connection)
    signed = Checkpoint(datetime.now(UTC), [], None, origin).sign(ring.audit_key(DEFAULT_TENANT))
    assert Note.parse(signed).verified([NoteKey.from_vkey(vkey)])


def test_no_key_is_printed_of_a_database_that_was_just_restored(
    engine: Engine, wrapper: HashicorpKeyWrapper, ring: Keyring
) -> None:
    before = checkpoint_vkeys(engine, wrapper)
    PostgresDataKeyStore(engine).begin_epoch("", [])
    with pytest.raises(AuditUnavailable, match="restored or moved"):
        checkpoint_vkeys(engine, wrapper)
    ring.reload()
    assert checkpoint_vkeys(engine, wrapper) != before


def test_a_certificate_verifies_by_the_key_servers_own_word(
    openbao: DevOpenBao, keys_settings: KeysSettings, operator: Path
) -> None:
    vkey = NoteKey("tokenvault/00", bytes(range(32))).to_vkey()
    with transit_signer(keys_settings, NAME, operator) as signer:
        before = certificate(vkey, signer)
        openbao.admin().write(f"transit/keys/{NAME}/rotate")
        # The version it began with, or signature and public key would not fit.
        assert certificate(vkey, signer) == before
    with transit_signer(keys_settings, NAME, operator) as rotated:
        after = certificate(vkey, rotated)
    answer = openbao.admin().read(f"transit/keys/{NAME}")["data"]
    assert isinstance(answer, dict)
    for version, note in (("1", before), ("2", after)):
        public = b64decode(answer["keys"][version]["public_key"])
        assert note.verified([NoteKey(f"transit/{NAME}", public)])
        assert note.text == f"tokenvault/v1/audit-checkpoint-key\n{vkey}\n"


def test_the_services_own_login_certifies_nothing(
    openbao: DevOpenBao,
    app_role: AppRoleFiles,
    keys_settings: KeysSettings,
    operator: Path,
    private_tmp: Path,
) -> None:
    assert operator.exists()
    connection = KeyServerConnection(openbao.address, ca=openbao.ca)
    body = {
        "role_id": read_secret(app_role.role_id_file, "role_id"),
        "secret_id": read_secret(app_role.secret_id_file, "secret_id"),
    }
    auth = connection.write("auth/approle/login", body)["auth"]
    assert isinstance(auth, dict)
    file = write_private(private_tmp / "service", str(auth["client_token"]))
    with (
        pytest.raises(KeysUnavailable, match="permission denied"),
        transit_signer(keys_settings, NAME, file),
    ):
        pass


@pytest.mark.parametrize("kind", ["aes256-gcm96", "ecdsa-p256", "derived"])
def test_only_a_plain_ed25519_key_certifies(
    openbao: DevOpenBao, keys_settings: KeysSettings, private_tmp: Path, kind: str
) -> None:
    admin = openbao.admin()
    options = {"type": "ed25519", "derived": True} if kind == "derived" else {"type": kind}
    admin.write(f"transit/keys/other-{kind}", options)
    made = admin.write("auth/token/create", {"ttl": "5m"})["auth"]
    assert isinstance(made, dict)
    file = write_private(private_tmp / "token", str(made["client_token"]))
    with (
        pytest.raises(KeysUnavailable, match="ed25519"),
        transit_signer(keys_settings, f"other-{kind}", file),
    ):
        pass


@pytest.mark.parametrize("name", ["", "a b", "../sys", "a/../b", "a?b"])
def test_a_name_that_is_no_name_is_refused(
    keys_settings: KeysSettings, operator: Path, name: str
) -> None:
    with (
        pytest.raises(ConfigError, match="not a name"),
        transit_signer(keys_settings, name, operator),
    ):
        pass
