"""What the audit's token-set digest is taken over, of a column, without sorting strings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vault.crypto.fpe.codes import Codes
from vault.formats.columnar.row_order import as_items, sorted_rows
from vault.formats.columnar.text_column import TextColumn
from vault.service.results import token_set_message

__all__ = ["packed_token_set"]

# Cells of the table below. Above it one very long token among many would cost too much.
_MAX_CELLS = 1 << 23


def packed_token_set(tokens: TextColumn) -> bytes | memoryview:
    """Returns ``token_set_message`` of a column."""
    lengths = np.diff(tokens.offsets)
    width = int(lengths.max(initial=0))
    # Zero fills the table up, so it must not be a character.
    if not 0 < width * len(tokens) <= _MAX_CELLS or not tokens.codes.all():
        return token_set_message(tokens)
    alike = len(tokens.codes) == width * len(tokens)
    table = tokens.codes.reshape(-1, width) if alike else _table(tokens, lengths, width)
    order, first = sorted_rows(table)
    chosen = order if first.all() else order[first]
    if alike and table.dtype == np.uint8:
        return _message_of_one_length(table, chosen)
    prefixes = _prefixes(width)
    size = prefixes.shape[1]
    message: Codes = np.empty((len(chosen), size + width), table.dtype)
    for at, column in enumerate(prefixes.T):
        message[:, at] = column[lengths[chosen]]
    message[:, size:] = np.take(table, chosen, axis=0)
    return token_set_message(()) + _packed(message)


def _message_of_one_length(table: Codes, chosen: NDArray[np.int64]) -> memoryview:
    """As mostly, of bytes: one prefix for all, and each token moved in one piece."""
    width = table.shape[1]
    head, prefix = token_set_message(()), f"{width}:".encode()
    message = np.empty(len(head) + len(chosen) * (len(prefix) + width), np.uint8)
    message[: len(head)] = np.frombuffer(head, np.uint8)
    items = message[len(head) :].view([("prefix", f"V{len(prefix)}"), ("token", f"V{width}")])
    items["prefix"] = np.frombuffer(prefix, f"V{len(prefix)}")
    items["token"] = as_items(table)[chosen]
    return message.data


def _table(tokens: TextColumn, lengths: NDArray[np.int64], width: int) -> Codes:
    """Returns a row of characters per token, filled up with zeros on the right."""
    table: Codes = np.zeros((len(tokens), width), tokens.codes.dtype)
    table[np.arange(width) < lengths[:, np.newaxis]] = tokens.codes
    return table


def _prefixes(width: int) -> NDArray[np.uint8]:
    """Returns ``n:`` for each length up to a width, filled up with zeros on the left."""
    size = len(f"{width}:")
    texts = [f"{length}:".encode().rjust(size, b"\0") for length in range(width + 1)]
    return np.frombuffer(b"".join(texts), np.uint8).reshape(-1, size)


def _packed(message: Codes) -> bytes:
    if message.dtype == np.uint8:
        return message.tobytes().translate(None, b"\0")
    data: bytes = message[message != 0].tobytes()
    return data.decode("utf-32-le").encode()
