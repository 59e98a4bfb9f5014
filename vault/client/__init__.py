"""The Python SDK: columns in, columns out, over mTLS or with a JWT.

from pathlib import Path
from vault.client import Client, ClientTls

tls = ClientTls(ca=Path("ca.pem"), cert=Path("pipeline.pem"), key=Path("pipeline.key"))
with Client("localhost:50051", tls) as client:
    column = client.tokenize("card_number", ["4111 1111 1111 1111", None])
    column.values, column.errors, column.skipped

Packed columns (``PackedColumn``) need NumPy, the extra ``packed``; nothing else does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.client.client import Client
from vault.client.columns import BytesColumn, Column, Descriptions, Erased, Spellings
from vault.client.errors import CallError, ItemError
from vault.client.jwt import ClientJwt
from vault.client.retry import RetryPolicy
from vault.client.tls import ClientTls

if TYPE_CHECKING:
    from vault.client.packed import PackedAnswer, PackedColumn

__all__ = [
    "BytesColumn",
    "CallError",
    "Client",
    "ClientJwt",
    "ClientTls",
    "Column",
    "Descriptions",
    "Erased",
    "ItemError",
    "PackedAnswer",
    "PackedColumn",
    "RetryPolicy",
    "Spellings",
]

_PACKED = ("PackedAnswer", "PackedColumn")


def __getattr__(name: str) -> object:
    """Imports what packed columns need when it is first asked for."""
    if name not in _PACKED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vault.client import packed

    return getattr(packed, name)
