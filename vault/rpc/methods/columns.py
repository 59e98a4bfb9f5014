"""TokenizeColumn and DetokenizeColumn: the use cases of Tokenize and Detokenize, packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from vault.model import Failure
from vault.rpc.methods.column_codec import SentColumn, decode_column
from vault.rpc.methods.messages import granted, item_errors
from vault.rpc.methods.registry import BoundCall, EncodedResponse, RpcDefinition
from vault.service.call import Call
from vault.service.results import ColumnResult
from vault.service.tokenization import TokenizationService
from vault.v1 import tokenization_service_pb2 as pb
from vault.v1.column_pb2 import StringColumn

__all__ = ["column_rpcs"]

Request = TypeVar("Request", pb.TokenizeColumnRequest, pb.DetokenizeColumnRequest)


@dataclass(frozen=True, slots=True)
class _ColumnRpc(Generic[Request]):
    """An RPC on a packed column, as ``Rpc``.

    The column is decoded before the work: what is malformed is refused, and recorded, there.
    """

    request: type[Request]
    column: Callable[[Request], StringColumn]
    run: Callable[[Call, Request, SentColumn], EncodedResponse]

    def bind(self, raw: bytes) -> BoundCall:
        """Parses a request. Raises DecodeError and InvalidRequest."""
        ask = self.request.FromString(raw)
        sent = decode_column(self.column(ask))
        return BoundCall(ask.field, sent.size, lambda call: self.run(call, ask, sent))


def column_rpcs(service: TokenizationService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on packed columns."""

    def tokenize(call: Call, ask: pb.TokenizeColumnRequest, sent: SentColumn) -> EncodedResponse:
        return service.tokenize(
            call, ask.field, sent.texts, ask.region, lambda result: _tokenized(sent, result)
        )

    def detokenize(
        call: Call, ask: pb.DetokenizeColumnRequest, sent: SentColumn
    ) -> EncodedResponse:
        return service.detokenize(
            call,
            ask.field,
            sent.texts,
            ask.view,
            lambda result: _detokenized(sent, result),
            granted(ask),
        )

    return (
        _ColumnRpc(pb.TokenizeColumnRequest, lambda ask: ask.values, tokenize),
        _ColumnRpc(pb.DetokenizeColumnRequest, lambda ask: ask.tokens, detokenize),
    )


def _tokenized(sent: SentColumn, result: ColumnResult) -> EncodedResponse:
    message = pb.TokenizeColumnResponse(
        tokens=sent.answer(result.values, result.failures),
        errors=item_errors(_placed(sent, result)),
    )
    return EncodedResponse.from_batch(message, len(result.values), result.failures)


def _detokenized(sent: SentColumn, result: ColumnResult) -> EncodedResponse:
    message = pb.DetokenizeColumnResponse(
        values=sent.answer(result.values, result.failures),
        errors=item_errors(_placed(sent, result)),
        view=result.view,
        receipt=result.receipt,
    )
    return EncodedResponse.from_batch(message, len(result.values), result.failures)


def _placed(sent: SentColumn, result: ColumnResult) -> Mapping[int, Failure]:
    return {sent.index_of(at): failure for at, failure in result.failures.items()}
