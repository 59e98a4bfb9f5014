import json
from pathlib import Path

import pytest
import typer

from vault.cli.connection import ConnectionOptions, ServiceConnection
from vault.client import ClientJwt, ClientTls


def write_environment(directory: Path) -> None:
    directory.mkdir()
    clients = {
        role: {"cert": f"{role}.pem", "key": str(directory / f"{role}.key")}
        for role in ("pipeline", "fraud_analyst")
    }
    described = {
        "address": "localhost:1234",
        "jwt_address": "localhost:1235",
        "ca": "ca.pem",
        "clients": clients,
    }
    (directory / "dev.json").write_text(json.dumps(described))


def find(
    *, dev: Path | None = None, role: str | None = None, default_role: str | None = None
) -> ServiceConnection:
    return ConnectionOptions(dev, role).find(default_role=default_role)


def test_four_options_make_a_connection() -> None:
    ca, cert, key = Path("ca"), Path("cert"), Path("key")
    found = ConnectionOptions(None, None, "host:1", ca, cert, key).find()
    assert found == ServiceConnection("host:1", ClientTls(ca, cert, key))


def test_a_role_does_not_go_to_a_service_that_the_shell_names() -> None:
    ca, cert, key = Path("ca"), Path("cert"), Path("key")
    with pytest.raises(typer.BadParameter, match=r"--role .* TOKENVAULT_\*"):
        ConnectionOptions(None, "pipeline", "host:1", ca, cert, key).find()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(typer.BadParameter, match="missing: --ca, --key"):
        ConnectionOptions(None, None, "host:1", None, Path("cert"), None).find()


@pytest.mark.parametrize("role", ["fraud_analyst", "fraud-analyst"])
def test_a_role_of_the_development_environment(tmp_path: Path, role: str) -> None:
    directory = tmp_path / "dev"
    write_environment(directory)
    found = find(dev=directory, role=role)
    assert found.address == "localhost:1234"
    assert found.tls == ClientTls(
        ca=directory / "ca.pem",
        cert=directory / "fraud_analyst.pem",
        key=directory / "fraud_analyst.key",
    )


def test_dev_wins_over_the_environment_variables(tmp_path: Path) -> None:
    directory = tmp_path / "dev"
    write_environment(directory)
    found = ConnectionOptions(directory, "pipeline", "elsewhere:1", None, None, None).find()
    assert found.address == "localhost:1234"


def test_an_environment_in_the_current_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.BadParameter, match="no service given"):
        find(default_role="pipeline")
    write_environment(tmp_path / ".tokenvault")
    tls = find(default_role="pipeline").tls
    assert isinstance(tls, ClientTls)
    assert tls.cert == Path(".tokenvault/pipeline.pem")


def test_a_role_must_be_chosen_and_be_there(tmp_path: Path) -> None:
    directory = tmp_path / "dev"
    write_environment(directory)
    with pytest.raises(typer.BadParameter, match="--role: fraud_analyst, pipeline"):
        find(dev=directory)
    with pytest.raises(typer.BadParameter, match="no role 'nobody'"):
        find(dev=directory, role="nobody")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"address": 1, "ca": 2, "clients": []}'])
def test_a_broken_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dev.json").write_text(text)
    with pytest.raises(typer.BadParameter, match="is not what 'tokenvault dev' writes"):
        find(dev=tmp_path, role="pipeline")


def test_an_environment_that_was_never_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="is not there: start 'tokenvault dev"):
        find(dev=tmp_path, role="pipeline")


def with_token(
    token: Path,
    *,
    dev: Path | None = None,
    role: str | None = None,
    address: str | None = None,
    ca: Path | None = None,
    cert: Path | None = None,
) -> ServiceConnection:
    options = ConnectionOptions(dev, role, address, ca, cert, None, token)
    return options.find(default_role="pipeline")


TOKEN = Path("mine.jwt")


def test_a_token_stands_for_certificate_and_key() -> None:
    found = with_token(TOKEN, address="host:1", ca=Path("ca"))
    assert found == ServiceConnection("host:1", ClientJwt(Path("ca"), TOKEN))


def test_a_token_goes_to_the_environment_s_port_for_tokens(tmp_path: Path) -> None:
    directory = tmp_path / "dev"
    write_environment(directory)
    found = with_token(TOKEN, dev=directory)
    assert found.address == "localhost:1235"
    assert found.tls == ClientJwt(directory / "ca.pem", TOKEN)
    (directory / "dev.json").write_text('{"address": "localhost:1"}')
    with pytest.raises(typer.BadParameter, match="is not what 'tokenvault dev' writes"):
        with_token(TOKEN, dev=directory)


def test_a_token_beside_another_caller_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="with a certificate or with a token"):
        with_token(TOKEN, address="host:1", ca=Path("ca"), cert=Path("cert"))
    with pytest.raises(typer.BadParameter, match="--role and --token-file"):
        with_token(TOKEN, role="pipeline")


def test_a_token_needs_a_service_and_an_authority() -> None:
    with pytest.raises(typer.BadParameter, match="--token-file needs --ca too"):
        with_token(TOKEN, address="host:1")
    with pytest.raises(typer.BadParameter, match="--token-file needs --address too"):
        with_token(TOKEN, ca=Path("ca"))


def test_a_token_in_place_of_its_file_is_not_repeated() -> None:
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"
    with pytest.raises(typer.BadParameter, match="not the token itself") as caught:
        with_token(Path(token), address="host:1", ca=Path("ca"))
    assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o620, 0o602, None])
def test_a_token_s_file_is_read_before_anything_is_sent(tmp_path: Path, mode: int | None) -> None:
    path = tmp_path / "token"
    if mode is not None:
        path.write_text("x.y.z")
        path.chmod(mode)
    found = ServiceConnection("localhost:1", ClientJwt(tmp_path / "ca", path))
    with pytest.raises(OSError, match=r"only its owner may|No such file"), found.open():
        pass
