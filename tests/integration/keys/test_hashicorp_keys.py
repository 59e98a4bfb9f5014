"""HashicorpKeyWrapper against a real OpenBao: logins, outages, and what the service may not do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vault.config import KeyAuthSettings, KeysSettings, read_secret
from vault.dev.authority import Authority
from vault.dev.openbao import AppRoleFiles, DevOpenBao
from vault.dev.private_files import write_private
from vault.errors import ConfigError, KeysUnavailable
from vault.keys.connection import KeyServerConnection, KeyServerError, KeyServerFault
from vault.keys.hashicorp import HashicorpKeyWrapper
from vault.keys.unwrap_failures import UnwrapFailed, UnwrapFault

CONTEXT = b"\x00\x00\x00\x07default"


@pytest.fixture
def keys(keys_settings: KeysSettings) -> Iterator[HashicorpKeyWrapper]:
    made = HashicorpKeyWrapper(keys_settings)
    yield made
    made.close()


@pytest.fixture
def token(openbao: DevOpenBao, app_role: AppRoleFiles) -> str:
    """A login of the service's own, as it would hold it."""
    return log_in(openbao, app_role)


def log_in(openbao: DevOpenBao, role: AppRoleFiles) -> str:
    body = {
        "role_id": read_secret(role.role_id_file, "role_id"),
        "secret_id": read_secret(role.secret_id_file, "secret_id"),
    }
    auth = connect(openbao, "").write("auth/approle/login", body)["auth"]
    assert isinstance(auth, dict)
    return str(auth["client_token"])


def connect(openbao: DevOpenBao, token: str) -> KeyServerConnection:
    connection = KeyServerConnection(openbao.address, ca=openbao.ca)
    connection.use_token(token)
    return connection


def by_token(settings: KeysSettings, file: Path) -> KeysSettings:
    auth = KeyAuthSettings.model_validate({"method": "token", "token_file": str(file)})
    return settings.model_copy(update={"auth": auth})


def eventually(condition: Callable[[], bool], timeout: float = 15.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_tells_that_all_is_well(keys: HashicorpKeyWrapper) -> None:
    assert not keys.status().ready
    keys.generate([CONTEXT])
    ready, message, left = keys.status()
    assert (ready, message) == (True, "")
    assert 3000 < left <= 3600


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "transit/datakey/plaintext/{key}"),
        ("post", "transit/encrypt/{key}"),
        ("post", "transit/rewrap/{key}"),
        ("post", "transit/keys/{key}/rotate"),
        ("post", "transit/keys/{key}/config"),
        ("post", "transit/hmac/{key}"),
        ("get", "transit/keys/{key}"),
        ("get", "transit/export/encryption-key/{key}"),
        ("get", "transit/backup/{key}"),
        ("post", "transit/datakey/wrapped/another"),
        ("post", "transit/decrypt/another"),
        ("post", "transit/random/32"),
        ("get", "auth/approle/role/{key}"),
        ("post", "auth/approle/role/{key}/secret-id"),
        ("post", "auth/token/create"),
        ("post", "auth/token/lookup"),
        ("get", "cubbyhole/anything"),
        ("post", "sys/wrapping/wrap"),
        ("post", "sys/seal"),
        ("get", "sys/mounts"),
        ("get", "sys/policies/acl/{key}-service"),
        ("post", "sys/capabilities-self"),
    ],
)
def test_the_service_may_do_nothing_else(
    openbao: DevOpenBao, app_role: AppRoleFiles, token: str, method: str, path: str
) -> None:
    connection = connect(openbao, token)
    target = path.format(key=app_role.key_name)
    with pytest.raises(KeyServerError) as failure:
        connection.write(target) if method == "post" else connection.read(target)
    assert failure.value.fault is KeyServerFault.FORBIDDEN


def test_the_service_may_do_what_it_uses(openbao: DevOpenBao, token: str) -> None:
    connection = connect(openbao, token)
    assert connection.read("auth/token/lookup-self")["data"]
    assert connection.write("auth/token/renew-self")["auth"]


def test_logs_in_with_a_token_file(
    keys_settings: KeysSettings, token: str, private_tmp: Path
) -> None:
    keys = HashicorpKeyWrapper(by_token(keys_settings, write_private(private_tmp / "token", token)))
    try:
        (wrapped,) = keys.generate([CONTEXT])
        assert len(keys.unwrap([(CONTEXT, wrapped)])[0]) == 32
    finally:
        keys.close()


def test_a_new_token_in_the_file_is_taken_when_the_old_one_is_revoked(
    openbao: DevOpenBao,
    app_role: AppRoleFiles,
    keys_settings: KeysSettings,
    token: str,
    private_tmp: Path,
) -> None:
    file = write_private(private_tmp / "token", token)
    keys = HashicorpKeyWrapper(by_token(keys_settings, file))
    try:
        keys.generate([CONTEXT])
        openbao.admin().write("auth/token/revoke", {"token": token})
        with pytest.raises(KeysUnavailable, match="permission denied"):
            keys.generate([CONTEXT])
        assert not keys.status().ready
        write_private(file, log_in(openbao, app_role))
        keys.generate([CONTEXT])
        assert keys.status().ready
    finally:
        keys.close()


def test_a_revoked_login_is_made_again(openbao: DevOpenBao, keys: HashicorpKeyWrapper) -> None:
    keys.generate([CONTEXT])
    held = keys._connection._adapter.token
    openbao.admin().write("auth/token/revoke", {"token": held})
    keys.generate([CONTEXT])
    assert keys._connection._adapter.token != held


def test_a_root_token_is_refused(
    openbao: DevOpenBao, keys_settings: KeysSettings, private_tmp: Path
) -> None:
    root = openbao.admin()._adapter.token
    assert root is not None
    settings = by_token(keys_settings, write_private(private_tmp / "token", root))
    keys = HashicorpKeyWrapper(settings)
    with pytest.raises(ConfigError, match="root token") as failure:
        keys.log_in()
    assert root not in str(failure.value)
    assert keys._connection._adapter.token == ""
    keys.close()


def test_a_root_token_is_let_pass_where_allowed(
    openbao: DevOpenBao, keys_settings: KeysSettings, private_tmp: Path
) -> None:
    root = openbao.admin()._adapter.token
    assert root is not None
    settings = by_token(keys_settings, write_private(private_tmp / "token", root))
    keys = HashicorpKeyWrapper(settings, refuse_root=False)
    keys.generate([CONTEXT])
    assert keys.status().login_seconds == float("inf")
    keys.close()


def test_a_wrong_secret_id_is_refused_without_being_quoted(
    keys_settings: KeysSettings, private_tmp: Path
) -> None:
    wrong = write_private(private_tmp / "secret_id", "not-the-secret-id")
    auth = keys_settings.auth.model_copy(update={"secret_id_file": wrong})
    keys = HashicorpKeyWrapper(keys_settings.model_copy(update={"auth": auth}))
    with pytest.raises(KeysUnavailable, match="AppRole login is refused") as failure:
        keys.log_in()
    assert "not-the-secret-id" not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


def test_a_wrong_secret_id_does_not_lock_the_role(
    openbao: DevOpenBao, keys_settings: KeysSettings, app_role: AppRoleFiles, private_tmp: Path
) -> None:
    """Five refused logins would: the sixth, with the right secret id, would be refused too."""
    secret = write_private(private_tmp / "secret_id", "not-the-secret-id")
    auth = keys_settings.auth.model_copy(update={"secret_id_file": secret})
    keys = HashicorpKeyWrapper(keys_settings.model_copy(update={"auth": auth}))
    for _ in range(8):
        with pytest.raises(KeysUnavailable, match="AppRole login is refused"):
            keys.log_in()
    write_private(secret, read_secret(app_role.secret_id_file, "secret_id"))
    keys.log_in()
    keys.close()


def test_a_secret_file_open_to_others_is_refused(
    keys_settings: KeysSettings, private_tmp: Path
) -> None:
    loose = write_private(private_tmp / "secret_id", "x")
    loose.chmod(0o644)
    auth = keys_settings.auth.model_copy(update={"secret_id_file": loose})
    keys = HashicorpKeyWrapper(keys_settings.model_copy(update={"auth": auth}))
    with pytest.raises(ConfigError, match="chmod 600"):
        keys.log_in()


def test_sealed_and_unsealed_again(openbao: DevOpenBao, keys: HashicorpKeyWrapper) -> None:
    (wrapped,) = keys.generate([CONTEXT])
    (before,) = keys.unwrap([(CONTEXT, wrapped)])
    openbao.seal()
    try:
        with pytest.raises(KeysUnavailable, match="sealed"):
            keys.unwrap([(CONTEXT, wrapped)])
        assert "sealed" in keys.status().message
    finally:
        openbao.unseal()
    assert keys.unwrap([(CONTEXT, wrapped)]) == [before]
    assert keys.status().ready


def test_status_sees_a_seal_that_no_call_has_met(
    openbao: DevOpenBao, keys: HashicorpKeyWrapper
) -> None:
    keys.generate([CONTEXT])
    openbao.seal()
    try:
        assert "sealed" in keys.status().message
    finally:
        openbao.unseal()
    assert keys.status().ready


def test_status_replaces_a_revoked_login(openbao: DevOpenBao, keys: HashicorpKeyWrapper) -> None:
    keys.generate([CONTEXT])
    revoked = keys._connection._adapter.token
    openbao.admin().write("auth/token/revoke", {"token": revoked})
    assert keys.status().ready
    assert keys._connection._adapter.token != revoked


def test_wrong_authority(keys_settings: KeysSettings, private_tmp: Path) -> None:
    other = Authority(private_tmp / "pki").certificate_path
    keys = HashicorpKeyWrapper(keys_settings.model_copy(update={"ca": other}))
    with pytest.raises(KeysUnavailable, match="certificate"):
        keys.log_in()


def test_gone(keys_settings: KeysSettings) -> None:
    keys = HashicorpKeyWrapper(keys_settings.model_copy(update={"address": "https://127.0.0.1:1"}))
    with pytest.raises(KeysUnavailable, match="cannot be reached"):
        keys.log_in()


def test_a_transit_key_that_is_not_derived_is_refused(
    openbao: DevOpenBao, keys_settings: KeysSettings, private_tmp: Path
) -> None:
    admin = openbao.admin()
    admin.write("transit/keys/plain", {"type": "aes256-gcm96"})
    root = admin._adapter.token
    assert root is not None
    settings = by_token(keys_settings, write_private(private_tmp / "token", root))
    keys = HashicorpKeyWrapper(settings.model_copy(update={"key_name": "plain"}), refuse_root=False)
    (wrapped,) = keys.generate([CONTEXT])
    with pytest.raises(KeysUnavailable, match="not derived"):
        keys.unwrap([(CONTEXT, wrapped)])
    keys.close()


def test_a_transit_key_that_does_not_exist(
    openbao: DevOpenBao, keys_settings: KeysSettings
) -> None:
    keys = HashicorpKeyWrapper(keys_settings.model_copy(update={"key_name": "nothing"}))
    with pytest.raises(KeysUnavailable, match="permission denied"):
        keys.generate([CONTEXT])
    keys.close()


@pytest.mark.parametrize("name", ["../sys/seal", "a/../b", "", "a b", "x?y", "."])
def test_a_name_cannot_lead_elsewhere(keys_settings: KeysSettings, name: str) -> None:
    with pytest.raises(ConfigError, match=r"keys\.key_name"):
        HashicorpKeyWrapper(keys_settings.model_copy(update={"key_name": name}))


def short_lived(
    openbao: DevOpenBao, settings: KeysSettings, ttl: str, max_ttl: str
) -> KeysSettings:
    role = openbao.setup(f"short-{ttl}-{max_ttl}", ttl=ttl, max_ttl=max_ttl)
    auth = settings.auth.model_copy(
        update={"role_id_file": role.role_id_file, "secret_id_file": role.secret_id_file}
    )
    return settings.model_copy(update={"auth": auth, "key_name": role.key_name})


def test_renews_before_the_login_ends(openbao: DevOpenBao, keys_settings: KeysSettings) -> None:
    keys = HashicorpKeyWrapper(short_lived(openbao, keys_settings, "2s", "1h"))
    keys.log_in()
    held = keys._connection._adapter.token
    ended = time.monotonic() + 5
    while time.monotonic() < ended:
        assert keys._login.remaining() > 0
        time.sleep(0.05)
    assert keys._connection._adapter.token == held
    keys.close()


def test_logs_in_again_when_renewing_no_longer_extends(
    openbao: DevOpenBao, keys_settings: KeysSettings
) -> None:
    keys = HashicorpKeyWrapper(short_lived(openbao, keys_settings, "2s", "4s"))
    keys.log_in()
    held = keys._connection._adapter.token
    ended = time.monotonic() + 7
    while time.monotonic() < ended:
        assert keys._login.remaining() > 0
        time.sleep(0.05)
    assert keys._connection._adapter.token != held
    keys.generate([CONTEXT])
    keys.close()


def test_the_login_survives_an_outage_by_itself(
    openbao: DevOpenBao, keys_settings: KeysSettings
) -> None:
    keys = HashicorpKeyWrapper(short_lived(openbao, keys_settings, "1s", "1h"))
    keys.log_in()
    openbao.seal()
    try:
        eventually(lambda: keys._login.remaining() == 0)
        assert not keys.status().ready
    finally:
        openbao.unseal()
    eventually(lambda: keys._login.remaining() > 0)
    keys.close()


def test_close_ends_at_once(keys_settings: KeysSettings) -> None:
    keys = HashicorpKeyWrapper(keys_settings)
    keys.log_in()
    began = time.monotonic()
    keys.close()
    assert time.monotonic() - began < 1


def test_says_why_and_which_wrapped_keys_do_not_open(
    openbao: DevOpenBao, keys: HashicorpKeyWrapper, app_role: AppRoleFiles
) -> None:
    first = keys.generate([CONTEXT])[0]
    admin = openbao.admin()
    admin.write(f"transit/keys/{app_role.key_name}/rotate")
    second = keys.generate([CONTEXT])[0]
    label = second.split(":")[1]
    # As after a restore from before the rotation, and after one followed by another rotation.
    newer = second.replace(f":{label}:", ":v999:")
    foreign = first.replace(f":{first.split(':')[1]}:", f":{label}:")
    with pytest.raises(UnwrapFailed) as failure:
        keys.unwrap([(CONTEXT, each) for each in (first, newer, second, foreign)])
    assert failure.value.why == {1: UnwrapFault.TOO_NEW, 3: UnwrapFault.FOREIGN}
    least = int(label.removeprefix("v"))
    admin.write(f"transit/keys/{app_role.key_name}/config", {"min_decryption_version": least})
    try:
        with pytest.raises(UnwrapFailed) as failure:
            keys.unwrap([(CONTEXT, second), (CONTEXT, first)])
    finally:
        admin.write(f"transit/keys/{app_role.key_name}/config", {"min_decryption_version": 1})
    assert failure.value.why == {1: UnwrapFault.TOO_OLD}
    assert len(keys.unwrap([(CONTEXT, first), (CONTEXT, second)])) == 2
