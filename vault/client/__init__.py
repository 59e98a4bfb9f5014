"""The Python SDK: columns in, columns out, over mTLS or with a JWT.

from pathlib import Path
from vault.client import Client, ClientTls

tls = ClientTls(ca=Path("ca.pem"), cert=Path("pipeline.pem"), key=Path("pipeline.key"))
with Client("localhost:50051", tls) as client:
    column = client.tokenize("card_number", ["4111 1111 1111 1111", None])
    column.values, column.errors, column.skipped
"""

from vault.client.client import Client
from vault.client.columns import BytesColumn, Column, Descriptions, Erased, Spellings
from vault.client.errors import CallError, ItemError
from vault.client.packed import PackedAnswer, PackedColumn
from vault.client.retry import RetryPolicy
from vault.client.tls import ClientTls
from vault.client.token import ClientToken

__all__ = [
    "BytesColumn",
    "CallError",
    "Client",
    "ClientTls",
    "ClientToken",
    "Column",
    "Descriptions",
    "Erased",
    "ItemError",
    "PackedAnswer",
    "PackedColumn",
    "RetryPolicy",
    "Spellings",
]
