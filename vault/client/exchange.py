"""From a column to requests, several at once, and from their answers to a column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from vault.client.batches import Batch, BatchPlan, plan_batches, too_long_error
from vault.client.column_like import ColumnLike
from vault.client.columns import BytesColumn, Column
from vault.client.errors import CallError, ItemError
from vault.client.retry import RetryPolicy, with_retries
from vault.client.traceparent import Headers, trace_headers
from vault.client.transport import Contact
from vault.v1 import item_error_pb2
from vault.v1.column_pb2 import StringColumn

if TYPE_CHECKING:
    from vault.client.packed import PackedAnswer, PackedBatch, PackedColumn

__all__ = ["MAX_REQUEST_BYTES", "Exchange", "place_answers"]

Item = TypeVar("Item", str, bytes)
Response = TypeVar("Response")
Items = TypeVar("Items")
Value = TypeVar("Value")
Request = TypeVar("Request")
RequestT = TypeVar("RequestT", contravariant=True)
ResponseT = TypeVar("ResponseT", covariant=True)

# Below the server's default of 4 MiB, leaving room for the request's other fields.
MAX_REQUEST_BYTES = (4 << 20) - 65536


class _Rpc(Protocol[RequestT, ResponseT]):
    """A unary call of a generated stub."""

    def __call__(
        self, request: RequestT, timeout: float | None = None, metadata: Headers | None = None
    ) -> ResponseT: ...


class _BatchResponse(Protocol):
    """What every response to a batch has."""

    @property
    def errors(self) -> Sequence[item_error_pb2.ItemError]: ...


BatchResponse = TypeVar("BatchResponse", bound=_BatchResponse)


class Exchange:
    """Splits columns into requests, sends a few at a time, and repeats what is safe.

    Args:
        credential_problem: returns what is wrong with the caller's credential, or "", and whether
            repeating may help.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        timeout: float,
        in_flight: int,
        retry: RetryPolicy,
        credential_problem: Callable[[Contact], tuple[str, bool]] = lambda _: ("", True),
    ) -> None:
        self._batch_size = batch_size
        self._timeout = timeout
        self._retry = retry
        self._credential_problem = credential_problem
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="tokenvault-client")

    def close(self) -> None:
        """Sends nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def plan(self, column: ColumnLike[Item], kind: type[Item]) -> BatchPlan[Item]:
        """Splits a column into requests. Raises TypeError for what is no column of ``kind``."""
        return plan_batches(
            column, max_items=self._batch_size, max_bytes=MAX_REQUEST_BYTES, kind=kind
        )

    def strings(
        self,
        column: ColumnLike[str],
        rpc: _Rpc[Request, BatchResponse],
        request: Callable[[list[str]], Request],
        answered: Callable[[BatchResponse], Sequence[str]],
    ) -> Column:
        """Sends a column of strings. ``answered`` takes the answers out of a response."""
        plan = self.plan(column, str)
        values = plan.column
        for batch, answer in self.batches(plan, rpc, request):
            place_answers(values, batch, answered(answer))
        _blank(values, plan.errors, "")
        return Column(values, plan.errors, plan.skipped)

    def byte_strings(
        self,
        column: ColumnLike[bytes],
        rpc: _Rpc[Request, BatchResponse],
        request: Callable[[list[bytes]], Request],
        answered: Callable[[BatchResponse], Sequence[bytes]],
    ) -> BytesColumn:
        """Sends a column of byte strings, as above."""
        plan = self.plan(column, bytes)
        values = plan.column
        for batch, answer in self.batches(plan, rpc, request):
            place_answers(values, batch, answered(answer))
        _blank(values, plan.errors, b"")
        return BytesColumn(values, plan.errors, plan.skipped)

    def batches(
        self,
        plan: BatchPlan[Item],
        rpc: _Rpc[Request, BatchResponse],
        request: Callable[[list[Item]], Request],
    ) -> Iterator[tuple[Batch[Item], BatchResponse]]:
        """Sends the batches, several at once; yields them with their answers, in order."""
        # Taken here: the pool's threads know no current span.
        headers = trace_headers()

        def send(batch: Batch[Item]) -> BatchResponse:
            return self.call(rpc, _build_request(request, batch.items), headers)

        if len(plan.batches) == 1:
            answers = iter([send(plan.batches[0])])
        else:
            answers = self._pool.map(send, plan.batches)
        for batch, answer in zip(plan.batches, answers, strict=True):
            _collect(batch.indexes, answer, plan.errors)
            yield batch, answer

    def packed(
        self,
        column: PackedColumn,
        rpc: _Rpc[Request, BatchResponse],
        request: Callable[[StringColumn], Request],
        answered: Callable[[BatchResponse], StringColumn],
    ) -> PackedAnswer:
        """Sends a packed column, as above; no string is made of any item."""
        # Imported late: only packed columns need NumPy.
        from vault.client.packed import PackedAnswer, PackedColumn, join_batches, split_column

        if not isinstance(column, PackedColumn):
            raise TypeError(
                f"a {type(column).__name__} is no PackedColumn: make one with "
                "PackedColumn.from_arrow, or PackedColumn.of for a sequence"
            )
        batches = split_column(column, max_items=self._batch_size, max_bytes=MAX_REQUEST_BYTES)
        errors: dict[int, ItemError] = {}
        headers = trace_headers()

        def send(batch: PackedBatch) -> BatchResponse | None:
            return (
                None
                if batch.message is None
                else self.call(rpc, _build_request(request, batch.message), headers)
            )

        send_all = map if len(batches) == 1 else self._pool.map
        answers = list(send_all(send, batches))
        for batch, answer in zip(batches, answers, strict=True):
            indexes = range(batch.start, batch.start + batch.size)
            if answer is None:
                errors[batch.start] = too_long_error(batch.start)
            else:
                _collect(indexes, answer, errors)
        columns = [None if answer is None else answered(answer) for answer in answers]
        return PackedAnswer(join_batches(batches, columns), errors, column.skipped)

    def call(
        self, rpc: _Rpc[Request, Response], request: Request, headers: Headers | None = None
    ) -> Response:
        """Sends one request, and again where that is safe. Raises CallError."""
        found = trace_headers() if headers is None else headers
        try:
            return with_retries(
                lambda left: rpc(request, timeout=left, metadata=found), self._retry, self._timeout
            )
        except CallError as error:
            # Of no server's own reason: perhaps ours is that nobody speaks to us.
            if error.reason != "UNAVAILABLE":
                raise
            problem, retryable = self._credential_problem(error.contact)
            raise error.with_cause(problem, retryable) if problem else error from None


def _build_request(request: Callable[[Items], Request], items: Items) -> Request:
    try:
        return request(items)
    except UnicodeEncodeError:  # items were looked at before
        raise ValueError("the name of the field, region or view is not valid Unicode") from None


def _collect(indexes: Sequence[int], answer: _BatchResponse, errors: dict[int, ItemError]) -> None:
    for error in answer.errors:
        if not 0 <= error.index < len(indexes):
            raise _malformed()
        index = indexes[error.index]
        errors[index] = ItemError(
            index,
            error.reason,
            error.message,
            error.retryable,
            error.substitute,
            error.on_denied,
        )


def place_answers(column: list[Value | None], batch: Batch[Item], answers: Sequence[Value]) -> None:
    """Puts the answers of a batch where its items were. Raises CallError if they do not fit."""
    # A server that answers too few or too many must not leave plaintext in place.
    if len(answers) != len(batch.indexes):
        raise _malformed()
    for index, answer in zip(batch.indexes, answers, strict=True):
        column[index] = answer


def _blank(column: list[Item | None], errors: dict[int, ItemError], blank: Item) -> None:
    for index in errors:
        column[index] = blank


def _malformed() -> CallError:
    return CallError(
        "INTERNAL", "INTERNAL", "the server's answer does not fit the request", retryable=False
    )
