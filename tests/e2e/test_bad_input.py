"""What callers and operators get wrong: a clear error, a stable reason, no value anywhere."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from vault.client import CallError, Client, RetryPolicy
from vault.dev.authority import Authority
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site

# Values that must not be found in any message, log or audit record.
CARD, BROKEN_CARD = "4539578763621486", "4539578763621487"
SSN, LETTERS = "536-90-4399", "canary-letters"
CANARIES = (CARD, BROKEN_CARD, SSN, "536904399", LETTERS)

Serve = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", autouse=True)
def nothing_leaks(server: Server, read_audit: Callable[[], list[str]]) -> Iterator[None]:
    yield
    for text in (server.log.read_text(), "".join(read_audit())):
        assert text
        assert not any(canary in text for canary in CANARIES)


@pytest.fixture(scope="module")
def pipeline(server: Server) -> Iterator[Client]:
    with server.client("pipeline") as client:
        yield client


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[TokenizationServiceStub]:
    """A caller that does not split batches or leave empty items out, as the SDK would."""
    credentials = server.site.tls("pipeline").credentials()
    with grpc.secure_channel(server.address, credentials) as channel:
        yield TokenizationServiceStub(channel)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("card_number", BROKEN_CARD, "VALUE_NOT_IN_FORMAT"),
        ("card_number", LETTERS, "VALUE_NOT_IN_FORMAT"),
        ("card_number", "4539 578", "VALUE_TOO_SHORT"),
        ("card_number", CARD + CARD, "VALUE_TOO_LONG"),
        ("us_ssn", "536-90-439a", "VALUE_NOT_IN_FORMAT"),
        ("us_ssn", SSN + "9", "VALUE_TOO_LONG"),
        ("account_id", LETTERS, "VALUE_NOT_IN_FORMAT"),
        ("account_id", "123456789", "VALUE_TOO_SHORT"),
        ("account_id", "1" * 21, "VALUE_TOO_LONG"),
        ("email", LETTERS, "VALUE_NOT_IN_FORMAT"),
        ("national_id", "né-" + LETTERS, "VALUE_NOT_IN_FORMAT"),
    ],
)
def test_an_item_fails_alone(pipeline: Client, field: str, value: str, reason: str) -> None:
    good = {"us_ssn": SSN, "account_id": "1234567890", "email": "a.b@example.org"}
    good |= {"card_number": CARD, "national_id": "AB12345"}
    column = pipeline.tokenize(field, [good[field], value, good[field]])
    assert {index: error.reason for index, error in column.errors.items()} == {1: reason}
    assert column.values[0] == column.values[2] != good[field]
    assert column.values[1] == ""
    assert value not in column.errors[1].message


def test_an_empty_item_is_too_short(stub: TokenizationServiceStub) -> None:
    answer = stub.Tokenize(messages.TokenizeRequest(field="us_ssn", values=[SSN, ""]), timeout=5)
    assert [(error.index, error.reason) for error in answer.errors] == [(1, "VALUE_TOO_SHORT")]
    assert answer.tokens[0]
    assert answer.tokens[1] == ""


def test_a_token_nobody_issued(server: Server) -> None:
    tokens = [CARD, LETTERS, "4539578763621487", "1"]
    with server.client("fraud-analyst") as client:
        column = client.detokenize("card_number", tokens)
    assert {error.reason for error in column.errors.values()} == {"TOKEN_NOT_FOUND"}
    assert len({error.message for error in column.errors.values()}) == 1
    assert column.values == [""] * 4


@pytest.mark.parametrize(
    ("count", "field", "code", "reason"),
    [
        (1, LETTERS, "NOT_FOUND", "FIELD_NOT_FOUND"),
        (1, "", "INVALID_ARGUMENT", "INVALID_REQUEST"),
        (0, "card_number", "INVALID_ARGUMENT", "BATCH_EMPTY"),
        (10_001, "card_number", "INVALID_ARGUMENT", "BATCH_TOO_LARGE"),
    ],
)
def test_a_request_that_is_wrong_as_a_whole(
    stub: TokenizationServiceStub, count: int, field: str, code: str, reason: str
) -> None:
    request = messages.TokenizeRequest(field=field, values=[CARD] * count)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Tokenize(request, timeout=5)
    assert caught.value.code().name == code
    assert reason.encode() in _details(caught.value)


def test_more_bytes_than_a_request_may_have(stub: TokenizationServiceStub) -> None:
    request = messages.TokenizeRequest(field="person_name", values=["n" * 1000] * 5000)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Tokenize(request, timeout=10)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in (caught.value.details() or "")


def test_the_sdk_splits_by_items_and_by_bytes(server: Server, pipeline: Client) -> None:
    numbers = [f"{n:010d}" for n in range(12_000)]
    with server.client("pipeline", batch_size=50_000) as client:
        with pytest.raises(CallError) as caught:
            client.tokenize("account_id", numbers)
        assert caught.value.reason == "BATCH_TOO_LARGE"
        long = client.tokenize("person_name", ["n" * 1000] * 5000)
    assert {error.reason for error in long.errors.values()} == {"VALUE_TOO_LONG"}
    assert pipeline.tokenize("account_id", numbers).errors == {}


def test_a_view_the_role_lacks(server: Server) -> None:
    with server.client("support") as client, pytest.raises(CallError) as caught:
        client.detokenize("card_number", [CARD], view="full")
    assert caught.value.reason == "DENIED"


def test_a_view_that_does_not_exist_is_not_repeated_anywhere(server: Server) -> None:
    with server.client("fraud-analyst") as client, pytest.raises(CallError) as caught:
        client.detokenize("card_number", [CARD], view=LETTERS)
    assert caught.value.code in {"INVALID_ARGUMENT", "PERMISSION_DENIED"}
    assert LETTERS not in caught.value.message


def test_no_certificate(server: Server) -> None:
    ca = server.site.authority.certificate_path.read_bytes()
    with grpc.secure_channel(server.address, grpc.ssl_channel_credentials(ca)) as channel:
        request = messages.TokenizeRequest(field="card_number", values=[CARD])
        with pytest.raises(grpc.RpcError) as caught:
            TokenizationServiceStub(channel).Tokenize(request, timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_plaintext_caller(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        request = messages.TokenizeRequest(field="card_number", values=[CARD])
        TokenizationServiceStub(channel).Tokenize(request, timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_of_another_authority(server: Server, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    stranger = server.site.tls("pipeline", Authority(tmp_path / "pki"))
    retry = RetryPolicy(attempts=1)
    with (
        Client(server.address, stranger, retry=retry) as client,
        pytest.raises(CallError) as caught,
    ):
        client.tokenize("card_number", [CARD])
    assert caught.value.code == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("identity", "code", "reason"),
    [
        ("spiffe://example.org/unknown", "PERMISSION_DENIED", "DENIED"),
        ("spiffe://example.com/pipeline", "UNAUTHENTICATED", "UNAUTHENTICATED"),
        ("https://example.org/pipeline", "UNAUTHENTICATED", "UNAUTHENTICATED"),
    ],
)
def test_a_certificate_of_somebody_else(
    server: Server, identity: str, code: str, reason: str
) -> None:
    with server.client(identity) as client, pytest.raises(CallError) as caught:
        client.tokenize("card_number", [CARD])
    assert (caught.value.code, caught.value.reason) == (code, reason)


def test_a_header_changes_nothing(server: Server) -> None:
    credentials = server.site.tls("support").credentials()
    headers = (
        ("authorization", "Bearer eyJhbGciOiJub25lIn0.e30."),
        ("x-forwarded-client-cert", "URI=spiffe://example.org/fraud-analyst"),
        ("x-principal", "spiffe://example.org/fraud-analyst"),
    )
    with grpc.secure_channel(server.address, credentials) as channel:
        request = messages.DetokenizeRequest(field="card_number", tokens=[CARD], view="full")
        with pytest.raises(grpc.RpcError) as caught:
            TokenizationServiceStub(channel).Detokenize(request, timeout=5, metadata=headers)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_an_rpc_that_is_not_there(server: Server, read_audit: Callable[[], list[str]]) -> None:
    credentials = server.site.tls("pipeline").credentials()
    with grpc.secure_channel(server.address, credentials) as channel:
        method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        call = channel.unary_unary(method, bytes, bytes)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    (record,) = [body for body in read_audit() if '"reason":"UNIMPLEMENTED"' in body]
    assert '"principal":"spiffe://example.org/pipeline"' in record
    assert '"rpc":"unknown"' in record
    assert "eflection" not in record


# -- the operator -----------------------------------------------------------------------


def test_a_port_that_is_taken(server: Server, serve: Serve) -> None:
    port = int(server.address.rpartition(":")[2])
    ended = serve("taken", {"server": {"port": port}}, development=True)
    assert ended.returncode != 0
    assert f"server.port: another server has port {port}" in ended.stderr


def test_a_port_shared_by_a_careless_program(site: Site, serve: Serve) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        ended = serve("shared", {"server": {"health_port": port}}, development=True)
    assert f"server.health_port: cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_a_broken_policy(serve: Serve, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nfields:\n  card: {format: card, generator: rot13}\n")
    ended = serve("policy", {"policy": {"path": str(policy)}}, development=True)
    assert ended.returncode != 0
    assert f"{policy}:3" in ended.stderr
    assert "generator" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_policy_that_drops_a_used_field(serve: Serve, tmp_path: Path, pipeline: Client) -> None:
    pipeline.tokenize("us_ssn", [SSN])
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nfields:\n  card: {format: card, generator: random}\n")
    ended = serve("shapes", {"policy": {"path": str(policy)}}, development=True)
    assert ended.returncode != 0
    assert "fields.us_ssn: the field has tokens but is not in the policy" in ended.stderr


def test_serve_refuses_the_development_authority(serve: Serve) -> None:
    ended = serve("production", {})
    assert ended.returncode != 0
    assert "made by `tokenvault dev`" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_root_token_is_refused(site: Site, serve: Serve) -> None:
    token = site.openbao._directory / "root.token"
    changes = {"keys.auth": {"method": "token", "token_file": str(token)}}
    ended = serve("root", changes, development=True)
    assert ended.returncode != 0
    assert "keys.auth: a root token is refused" in ended.stderr
    assert token.read_text().strip() not in ended.stderr


def test_the_databases_owner_is_refused(site: Site, serve: Serve) -> None:
    owner = site.database.owner_url
    assert owner.username is not None
    url = f"postgresql://{owner.username}@{owner.host}:{owner.port}/{owner.database}"
    password = site.postgres.password_file(owner.username)
    changes = {"database": {"url": url, "password_file": str(password)}}
    ended = serve("owner", changes, development=True)
    assert ended.returncode != 0
    assert "the database role of `serve`" in ended.stderr
    assert password.read_text().strip() not in ended.stderr


def _details(error: grpc.RpcError) -> bytes:
    pairs = {pair.key: pair.value for pair in error.trailing_metadata()}
    return pairs["grpc-status-details-bin"]
