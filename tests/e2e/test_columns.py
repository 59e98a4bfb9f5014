"""Packed columns over the wire: what Tokenize and Detokenize answer, and hostile buffers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vault.client import CallError, PackedColumn
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.column_pb2 import StringColumn
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

if TYPE_CHECKING:
    from tests.e2e.conftest import Server

VALUES: dict[str, list[str | None]] = {
    # Vaultless: enough of one length to go as rows, and some that cannot.
    "account_id": [
        *(str(10**15 + 7 * at) for at in range(300)),
        *(str(10**11 + at) for at in range(100)),
        *["1234 5678 9012", None, "", "12", "x" * 16, "١٢٣٤٥٦٧٨٩٠", "1000000000000000"],
    ],
    "card_number": ["4111-1111-1111-1111", None, "", "4111111111111112", "5555555555554444"],
    "person_name": ["María Ek", None, "Bo Li", "李小龍"],
}


@pytest.mark.parametrize("field", sorted(VALUES))
def test_a_column_gets_what_its_strings_get(server: Server, field: str) -> None:
    values = VALUES[field]
    with server.client("pipeline", batch_size=150) as client:
        strings = client.tokenize(field, values)
        packed = client.tokenize_column(field, PackedColumn.of(values))
    # A failed item is "" among strings, null in a column.
    assert [text or "" for text in packed.column.strings()] == [
        text or "" for text in strings.values
    ]
    assert packed.errors == strings.errors
    assert packed.skipped == strings.skipped
    for at, (value, token) in enumerate(zip(values, packed.column.strings(), strict=True)):
        assert (token is None) == (value is None or at in packed.errors)

    with server.client("restore-pipeline") as client:
        back = client.detokenize_column(field, packed.column, "full")
    assert back.errors == {}
    assert back.view == "full"
    assert back.column.strings() == [
        None if at in packed.errors else value for at, value in enumerate(values)
    ]


def test_columns_of_pandas_and_arrow_go_and_come_back(server: Server) -> None:
    values = ["4111-1111-1111-1111", None, "", "4111111111111112", "5555555555554444"]
    array = pa.chunked_array([["x"], values], pa.large_string()).slice(1)
    with server.client("pipeline", batch_size=2) as client:
        plain = client.tokenize("card_number", values)
        series = client.tokenize("card_number", pd.Series(values))
        masked = client.tokenize("card_number", pd.Series(values, dtype="string"))
        arrow = client.tokenize("card_number", array)
        packed = client.tokenize_column("card_number", PackedColumn.from_arrow(array))
    assert list(plain.errors) == [3]
    assert plain == series == masked == arrow
    assert packed.errors == plain.errors
    tokens = packed.column.to_arrow()
    assert tokens.to_pylist() == [
        None if at in plain.errors else token for at, token in enumerate(plain.values)
    ]
    with server.client("restore-pipeline") as client:
        back = client.detokenize_column("card_number", PackedColumn.from_arrow(tokens), "full")
    assert back.column.to_arrow().to_pylist() == [*values[:3], None, values[4]]


def test_the_audit_says_the_same_of_both_forms(
    server: Server, read_audit: Callable[[], list[str]]
) -> None:
    values = [str(2 * 10**15 + at // 2) for at in range(200)]
    with server.client("pipeline") as client:
        client.tokenize("account_id", values)
        client.tokenize_column("account_id", PackedColumn.of(values))
        client.tokenize("account_id", values[:50] + values[150:])

    records = [json.loads(body) for body in read_audit()]
    whole = {r["rpc"]: r["token_digest"] for r in records if r.get("counts") == {"ok": 200}}
    half = [r["token_digest"] for r in records if r.get("counts") == {"ok": 100}]
    assert whole.keys() == {"Tokenize", "TokenizeColumn"}
    assert whole["Tokenize"] == whole["TokenizeColumn"]
    assert half
    assert whole["Tokenize"] not in half


def test_columns_of_nulls_and_empties(server: Server) -> None:
    with server.client("pipeline") as client:
        for field in ("account_id", "card_number"):
            found = client.tokenize_column(field, PackedColumn.of([None, ""]))
            assert found.column.strings() == [None, ""]
            assert found.skipped == 2
        assert client.tokenize_column("account_id", PackedColumn.of([])).column.strings() == []


def test_hostile_columns_are_refused_and_the_server_lives(server: Server) -> None:
    rng = random.Random(18)
    tls = server.site.tls("pipeline")
    seen = set()
    with grpc.secure_channel(server.address, tls.credentials()) as channel:
        stub = TokenizationServiceStub(channel)
        for _ in range(150):
            data = b"4111111111111111" * rng.randrange(4) + rng.randbytes(rng.choice([0, 0, 2]))
            numbers = [rng.choice([0, 16, 32, len(data), -1, 2**31 - 1]) for _ in range(4)]
            offsets = np.array(rng.choice([numbers, sorted(numbers)]), "<i4").tobytes()
            column = StringColumn(
                data=data,
                offsets=offsets[: rng.choice([16, 16, 15, 8, 0])],
                validity=rng.randbytes(rng.choice([0, 0, 1, 2])),
            )
            ask = messages.TokenizeColumnRequest(field="account_id", values=column)
            try:
                answer = stub.TokenizeColumn(ask, timeout=10)
            except grpc.RpcError as error:
                seen.add(error.code())
                assert "4111" not in str(error.details())
            else:
                seen.add(grpc.StatusCode.OK)
                assert len(answer.tokens.offsets) == len(column.offsets)
    assert seen == {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}


def test_the_bounds_of_a_batch_hold_for_columns(server: Server) -> None:
    with (
        server.client("pipeline", batch_size=10_001) as client,
        pytest.raises(CallError) as refused,
    ):
        client.tokenize_column("account_id", PackedColumn.of([None] * 10_001))
    assert refused.value.reason == "BATCH_TOO_LARGE"
