"""Looking for values in all their spellings: every batch through every page of the field."""

from __future__ import annotations

from collections.abc import Callable

from vault.client.batches import Batch
from vault.client.column_like import ColumnLike
from vault.client.columns import Erased, Spellings
from vault.client.errors import CallError, ItemError
from vault.client.exchange import Exchange
from vault.v1.tokenization_service_pb2 import EraseSpellingsRequest, EraseSpellingsResponse

__all__ = ["Progress", "count_spellings", "erase_spellings"]

Progress = Callable[[int], None]
"""Called with the number of tokens examined so far."""

_Page = Callable[[EraseSpellingsRequest], EraseSpellingsResponse]


def count_spellings(
    exchange: Exchange,
    page: _Page,
    field: str,
    values: ColumnLike[str],
    progress: Progress | None,
) -> Spellings:
    """Counts the live tokens of values in whatever spelling. Raises CallError."""
    return _run(
        exchange, page, EraseSpellingsRequest(field=field, count_only=True), values, progress
    )[0]


def erase_spellings(
    exchange: Exchange,
    page: _Page,
    field: str,
    values: ColumnLike[str],
    progress: Progress | None,
) -> Erased:
    """Erases them; a value without any is an error of its item. Raises CallError."""
    result, sent = _run(exchange, page, EraseSpellingsRequest(field=field), values, progress)
    errors = dict(result.errors)
    for index in sent:
        if index not in errors and index not in result.found:
            message = "the value has no live token in this field, in any spelling"
            errors[index] = ItemError(index, "TOKEN_NOT_FOUND", message, retryable=False)
    return Erased(len(result.found), dict(sorted(errors.items())), result.skipped, result.tokens)


def _run(
    exchange: Exchange,
    page: _Page,
    ask: EraseSpellingsRequest,
    values: ColumnLike[str],
    progress: Progress | None,
) -> tuple[Spellings, list[int]]:
    """Returns what was found, and the indexes of the values that were sent."""
    plan = exchange.plan(values, str)
    found: dict[int, int] = {}
    tokens = looked_at = 0
    for batch in plan.batches:
        ask.page_token, following = b"", True
        del ask.values[:]
        ask.values.extend(batch.items)
        while following:
            answer = page(ask)
            _take(found, plan.errors, batch, answer)
            tokens += answer.tokens
            looked_at += answer.looked_at
            if progress is not None:
                progress(looked_at)
            ask.page_token = answer.next_page_token
            following = bool(answer.next_page_token)
    sent = [index for batch in plan.batches for index in batch.indexes]
    return Spellings(found, tokens, plan.errors, plan.skipped, looked_at), sent


def _take(
    found: dict[int, int],
    errors: dict[int, ItemError],
    batch: Batch[str],
    answer: EraseSpellingsResponse,
) -> None:
    size = len(batch.indexes)
    for error in answer.errors:
        index = _index(batch, error.index, size)
        errors[index] = ItemError(index, error.reason, error.message, error.retryable)
    for each in answer.found:
        index = _index(batch, each.index, size)
        found[index] = found.get(index, 0) + each.count


def _index(batch: Batch[str], index: int, size: int) -> int:
    if index >= size:
        raise CallError(
            "INTERNAL", "INTERNAL", "the server's answer does not fit the request", retryable=False
        )
    return batch.indexes[index]
