"""The client against a real gRPC server whose behaviour a test decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from vault.client import CallError, Client, ClientTls, RetryPolicy
from vault.dev.authority import Authority
from vault.errors import Reason, Unavailable
from vault.rpc.status import call_status
from vault.v1 import item_error_pb2
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.tokenization_service_pb2_grpc import (
    TokenizationServiceServicer,
    add_TokenizationServiceServicer_to_server,
)

Answer = Callable[[messages.TokenizeRequest, grpc.ServicerContext], messages.TokenizeResponse]


class Scripted(TokenizationServiceServicer):
    """Answers Tokenize as told."""

    def __init__(self) -> None:
        self.answer: Answer = lambda ask, _: messages.TokenizeResponse(tokens=ask.values)
        self.sizes: list[int] = []
        self.erasures: list[messages.EraseRequest] = []

    def Tokenize(  # noqa: N802
        self, request: messages.TokenizeRequest, context: grpc.ServicerContext
    ) -> messages.TokenizeResponse:
        self.sizes.append(len(request.values))
        return self.answer(request, context)

    def Erase(  # noqa: N802
        self, request: messages.EraseRequest, context: grpc.ServicerContext
    ) -> messages.EraseResponse:
        self.erasures.append(request)
        if len(self.erasures) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        gone = [item_error_pb2.ItemError(index=0, reason="TOKEN_NOT_FOUND")]
        return messages.EraseResponse(errors=gone if "gone" in request.values else [])

    Detokenize = Lookup = Describe = EraseSpellings = Tokenize  # type: ignore[assignment]
    TokenizeColumn = DetokenizeColumn = Tokenize  # type: ignore[assignment]


@pytest.fixture
def authority(private_tmp: Path) -> Authority:
    return Authority(private_tmp / "pki")


@pytest.fixture
def service() -> Scripted:
    return Scripted()


@pytest.fixture
def client(authority: Authority, service: Scripted) -> Iterator[Client]:
    ca = authority.certificate_path
    mine, theirs = authority.issue_server("server"), authority.issue_client("me", "spiffe://d/me")
    credentials = grpc.ssl_server_credentials(
        [(mine.key.read_bytes(), mine.cert.read_bytes())], ca.read_bytes(), True
    )
    server = grpc.server(ThreadPoolExecutor(4))
    add_TokenizationServiceServicer_to_server(service, server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    tls = ClientTls(ca, theirs.cert, theirs.key)
    retry = RetryPolicy(attempts=3, first=0.01)
    with Client(f"localhost:{port}", tls, batch_size=3, timeout=5, retry=retry) as client:
        yield client
    server.stop(0).wait()


def test_answers_come_back_in_order_with_the_callers_indexes(
    client: Client, service: Scripted
) -> None:
    def answer(ask: messages.TokenizeRequest, _: grpc.ServicerContext) -> messages.TokenizeResponse:
        bad = [at for at, value in enumerate(ask.values) if value == "bad"]
        return messages.TokenizeResponse(
            tokens=["" if value == "bad" else value.upper() for value in ask.values],
            errors=[item_error_pb2.ItemError(index=at, reason="VALUE_TOO_SHORT") for at in bad],
        )

    service.answer = answer
    column = client.tokenize("f", ["a", None, "b", "c", "bad", "", "d", "e", "f", "g"])
    assert column.values == ["A", None, "B", "C", "", "", "D", "E", "F", "G"]
    assert {at: (error.index, error.reason) for at, error in column.errors.items()} == {
        4: (4, "VALUE_TOO_SHORT")
    }
    assert column.skipped == 2
    assert sorted(service.sizes) == [2, 3, 3]


def test_an_overloaded_server_is_asked_again(client: Client, service: Scripted) -> None:
    def answer(
        ask: messages.TokenizeRequest, context: grpc.ServicerContext
    ) -> messages.TokenizeResponse:
        if len(service.sizes) < 3:
            error = Unavailable("full", reason=Reason.OVERLOADED)
            context.abort_with_status(call_status(error, "r1"))
        return messages.TokenizeResponse(tokens=ask.values)

    service.answer = answer
    assert client.tokenize("f", ["a"]).values == ["a"]
    assert len(service.sizes) == 3


@pytest.mark.parametrize("extra", [[], ["x", "y"]])
def test_an_answer_of_another_length_is_no_answer(
    client: Client, service: Scripted, extra: list[str]
) -> None:
    service.answer = lambda _, __: messages.TokenizeResponse(tokens=extra)
    with pytest.raises(CallError, match="does not fit the request"):
        client.tokenize("f", ["a"])


def test_an_error_for_an_item_that_was_not_sent_is_no_answer(
    client: Client, service: Scripted
) -> None:
    stray = item_error_pb2.ItemError(index=1, reason="VALUE_TOO_SHORT")
    service.answer = lambda ask, _: messages.TokenizeResponse(tokens=ask.values, errors=[stray])
    with pytest.raises(CallError, match="does not fit the request"):
        client.tokenize("f", ["a"])


def test_one_failed_batch_fails_the_column(client: Client, service: Scripted) -> None:
    def answer(
        ask: messages.TokenizeRequest, context: grpc.ServicerContext
    ) -> messages.TokenizeResponse:
        if "g" in ask.values:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        return messages.TokenizeResponse(tokens=ask.values)

    service.answer = answer
    with pytest.raises(CallError) as caught:
        client.tokenize("f", list("abcdefghi"))
    assert caught.value.code == "PERMISSION_DENIED"


def test_an_erasure_whose_answer_was_lost_is_sent_again(client: Client, service: Scripted) -> None:
    erased = client.erase("f", tokens=["a", None, "b"])
    assert (erased.count, erased.errors, erased.skipped) == (2, {}, 1)
    first, second = service.erasures
    assert first == second == messages.EraseRequest(field="f", tokens=["a", "b"])


def test_erasures_count_over_batches_with_the_callers_indexes(
    client: Client, service: Scripted
) -> None:
    erased = client.erase("f", values=["a", "b", "c", "", "gone"])
    assert (erased.count, erased.skipped) == (3, 1)
    assert {at: error.reason for at, error in erased.errors.items()} == {4: "TOKEN_NOT_FOUND"}
    assert not any(request.tokens for request in service.erasures)


def test_a_region_goes_with_every_batch(client: Client, service: Scripted) -> None:
    regions: list[str] = []

    def answer(ask: messages.TokenizeRequest, _: grpc.ServicerContext) -> messages.TokenizeResponse:
        regions.append(ask.region)
        return messages.TokenizeResponse(tokens=ask.values)

    service.answer = answer
    client.tokenize("phone", ["030 901820"] * 1001, region="DE")
    assert len(regions) > 1
    assert set(regions) == {"DE"}
    client.lookup("phone", ["030 901820"], region="AT")
    client.tokenize("phone", ["030 901820"])
    assert regions[-2:] == ["AT", ""]
