"""TokenizeColumn and DetokenizeColumn: the use cases of Tokenize and Detokenize, packed."""

from __future__ import annotations

from collections.abc import Mapping

from vault.model import Caller, Failure
from vault.policy.model import Policy
from vault.rpc.methods.column_codec import SentColumn, decode_column
from vault.rpc.methods.registry import Ahead, Answer, BoundCall, Method, item_errors
from vault.service.results import ColumnResult
from vault.service.tokenization import TokenizationService
from vault.v1.tokenization_service_pb2 import (
    DetokenizeColumnRequest,
    DetokenizeColumnResponse,
    TokenizeColumnRequest,
    TokenizeColumnResponse,
)

__all__ = ["column_methods"]


def column_methods(service: TokenizationService) -> Mapping[str, Method]:
    """Returns the RPCs on packed columns by their full method names."""

    def tokenize(raw: bytes) -> BoundCall:
        ask = TokenizeColumnRequest.FromString(raw)
        # Here and not in the work: what is malformed is refused, and recorded, before it.
        sent = decode_column(ask.values)

        def run(caller: Caller, policy: Policy) -> Answer:
            ahead = Ahead(
                lambda result: TokenizeColumnResponse(
                    tokens=sent.answer(result.values, result.failures),
                    errors=item_errors(_placed(sent, result)),
                )
            )
            service.tokenize(
                caller,
                policy,
                ask.field,
                sent.texts,
                ask.region,
                rpc="TokenizeColumn",
                meanwhile=ahead,
            )
            return ahead.answer

        return BoundCall(ask.field, sent.size, run)

    def detokenize(raw: bytes) -> BoundCall:
        ask = DetokenizeColumnRequest.FromString(raw)
        sent = decode_column(ask.tokens)

        def run(caller: Caller, policy: Policy) -> Answer:
            ahead = Ahead(
                lambda result: DetokenizeColumnResponse(
                    values=sent.answer(result.values, result.failures),
                    errors=item_errors(_placed(sent, result)),
                    view=result.view,
                )
            )
            service.detokenize(
                caller,
                policy,
                ask.field,
                sent.texts,
                ask.view,
                rpc="DetokenizeColumn",
                meanwhile=ahead,
            )
            return ahead.answer

        return BoundCall(ask.field, sent.size, run)

    prefix = "/vault.v1.TokenizationService/"
    return {f"{prefix}TokenizeColumn": tokenize, f"{prefix}DetokenizeColumn": detokenize}


def _placed(sent: SentColumn, result: ColumnResult) -> Mapping[int, Failure]:
    return {sent.index_of(at): failure for at, failure in result.failures.items()}
