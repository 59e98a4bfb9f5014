"""Columns as people have them: from pandas, NumPy and Arrow; and what is no column at all."""

from __future__ import annotations

import collections
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vault.client.batches import plan_batches
from vault.client.client import Client
from vault.client.column_like import column_items
from vault.client.exchange import Exchange
from vault.client.packed import PackedColumn
from vault.client.retry import RetryPolicy
from vault.client.tls import ClientTls
from vault.dev.authority import Authority

CARD = "4111111111111111"


@pytest.mark.parametrize(
    "column",
    [
        [CARD, None, "b"],
        (CARD, pd.NA, "b"),
        [CARD, float("nan"), "b"],
        [CARD, np.float32("nan"), "b"],
        [CARD, pd.NaT, "b"],
        collections.deque([CARD, None, "b"]),
        pd.Series([CARD, None, "b"]),
        pd.Series([CARD, pd.NA, "b"], dtype="string"),
        pd.Series([CARD, float("nan"), "b"], dtype=object, index=[7, 7, 9]),
        pd.Series([CARD, None, "b"], dtype="category"),
        pd.Series([CARD, None, "b"], index=["columns", "tolist", "x"]),
        pd.Series([CARD, None, "b"], dtype=pd.ArrowDtype(pa.string())),
        pd.Series(["x", CARD, None, "b"])[1:],
        pd.Series([CARD, None, "b"]).array,
        pd.Index([CARD, None, "b"]),
        np.array([CARD, None, "b"], dtype=object),
        np.ma.masked_array([CARD, "x", "b"], mask=[False, True, False]),
        pa.array([CARD, None, "b"]),
        pa.array(["x", CARD, None, "b"]).slice(1),
        pa.chunked_array([[CARD], [None, "b"]]),
        pa.array([CARD, None, "b"], pa.large_string()),
        pa.array([CARD, None, "b"]).dictionary_encode(),
        list(pa.array([CARD, None, "b"])),
    ],
    ids=lambda column: type(column).__name__,
)
def test_a_column_of_text_and_nulls_is_taken_whatever_holds_it(column: object) -> None:
    assert column_items(column, str) == [CARD, None, "b"]  # type: ignore[arg-type]
    plan = plan_batches(column, max_items=9, max_bytes=999, kind=str)  # type: ignore[arg-type]
    assert (plan.skipped, plan.column) == (1, [CARD, None, "b"])
    assert PackedColumn.of(column).strings() == [CARD, None, "b"]  # type: ignore[arg-type]


def test_numpy_s_texts_are_texts() -> None:
    assert column_items(np.array([CARD, ""]), str) == [CARD, ""]
    assert column_items([np.str_(CARD)], str) == [CARD]


def generator() -> Iterator[str]:
    yield CARD


NO_COLUMNS: list[tuple[object, str]] = [
    (generator(), "generator is no column"),
    (map(str, [CARD]), "map is no column"),
    ({CARD: 1}, "dict is no column"),
    ({CARD: 1}.values(), "dict_values is no column"),
    ({CARD}, "set is no column"),
    (CARD, "not one value"),
    (CARD.encode(), "not one value"),
    (bytearray(CARD.encode()), "not one value"),
    (memoryview(CARD.encode()), "not one value"),
    (np.str_(CARD), "not one value"),
    (np.array(CARD), "ndarray is no column"),
    (pd.DataFrame({"card": [CARD]}), "DataFrame is a table"),
    (pd.Series([CARD]).groupby([0]), "SeriesGroupBy is no column"),
    (pa.table({"card": [CARD]}), "Table is a table"),
    (pa.record_batch({"card": [CARD]}), "RecordBatch is a table"),
    (pa.scalar(CARD), "StringScalar is no column"),
    (PackedColumn.of([CARD]), "tokenize_column"),
    (None, "NoneType is no column"),
    (int(CARD), "int is no column"),
    (pd.Series([CARD, 5]), "item 1 is int, not text or None"),
    (pd.Series([float(CARD)]), "item 0 is float"),
    (pa.array([int(CARD)]), "item 0 is int"),
    (pa.array([CARD.encode()]), "item 0 is bytes"),
    (np.array([[CARD]]), "item 0 is list"),
    ([[CARD]], "item 0 is list"),
    ([CARD, CARD.encode()], "item 1 is bytes, not text or None"),
    ([CARD, b"\xff" + CARD.encode()], "item 1 is bytes"),
    ([CARD, pa.scalar(5)], "item 1 is int"),
    ([CARD, True], "item 1 is bool"),
]


CALLS: dict[str, Callable[[Client, object], object]] = {
    "tokenize": lambda client, column: client.tokenize("f", column),  # type: ignore[arg-type]
    "detokenize": lambda client, column: client.detokenize("f", column),  # type: ignore[arg-type]
    "lookup": lambda client, column: client.lookup("f", column),  # type: ignore[arg-type]
    "describe": lambda client, column: client.describe("f", column),  # type: ignore[arg-type]
    "erase": lambda client, column: client.erase("f", tokens=column),  # type: ignore[arg-type]
    "erase by value": lambda client, column: client.erase("f", values=column),  # type: ignore[arg-type]
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    authority = Authority(tmp_path_factory.mktemp("authority") / "pki")
    made = authority.issue_client("caller", "spiffe://example.org/caller")
    # Nobody is there: whatever is sent fails with CallError.
    with Client(
        "127.0.0.1:1",
        ClientTls(authority.certificate_path, made.cert, made.key),
        batch_size=1,
        retry=RetryPolicy(attempts=1),
        timeout=2,
    ) as caller:
        yield caller


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_column_is_a_type_error_before_anything_is_sent(
    client: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr(Exchange, "call", lambda *_args: sent.append(1))
    for column, message in NO_COLUMNS:
        if column is None and name.startswith("erase"):
            continue  # there it is "not given"
        with pytest.raises(TypeError, match=message) as caught:
            CALLS[name](client, column)
        assert CARD not in str(caught.value)
    assert sent == []


def test_a_packed_call_takes_packed_columns_alone(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr(Exchange, "call", lambda *_args: sent.append(1))
    for column in (pa.array([CARD]), [CARD], CARD, pd.Series([CARD])):
        with pytest.raises(TypeError, match=r"PackedColumn\.from_arrow"):
            client.tokenize_column("f", column)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"PackedColumn\.from_arrow"):
            client.detokenize_column("f", column)  # type: ignore[arg-type]
    assert sent == []


def test_bytes_are_bytes_and_text_is_not(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr(Exchange, "call", lambda *_args: sent.append(1))
    assert column_items(pa.array([b"a", None]), bytes) == [b"a", None]
    for column in ([b"a", CARD], [CARD], generator(), b"a", pd.Series([CARD])):
        for call in (client.encrypt, client.decrypt):
            with pytest.raises(TypeError) as caught:
                call("f", column)  # type: ignore[arg-type]
            assert CARD not in str(caught.value)
    # NumPy forgets zeros at the end: another plaintext would be encrypted.
    with pytest.raises(TypeError, match="lose zeros"):
        client.encrypt("f", np.array([b"key\0"]))
    assert sent == []


def test_the_caller_s_own_list_stays_as_it_is() -> None:
    given = [CARD, pd.NA, "b"]
    plan = plan_batches(given, max_items=9, max_bytes=999, kind=str)
    plan.column[0] = "changed"
    assert given == [CARD, pd.NA, "b"]


def test_neither_pandas_nor_pyarrow_is_imported() -> None:
    program = (
        "import sys\n"
        "from vault.client import PackedColumn\n"
        "from vault.client.batches import plan_batches\n"
        "plan_batches(['a', None, float('nan')], max_items=9, max_bytes=999)\n"
        "assert PackedColumn.of(['a', None]).strings() == ['a', None]\n"
        "assert not {'pandas', 'pyarrow'} & sys.modules.keys(), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "column", [[4111], [None, 4111.5], pd.Series([4111]), np.array([1, 2]), [Decimal(4111)]]
)
def test_a_column_of_numbers_is_told_how_to_become_text(column: object) -> None:
    with pytest.raises(TypeError, match="dtype=str") as caught:
        column_items(cast("Any", column), str)
    assert "4111" not in str(caught.value)
    with pytest.raises(TypeError) as other:
        column_items(cast("Any", [[]]), str)
    assert "dtype" not in str(other.value)


def test_no_column_at_all_is_said_plainly() -> None:
    with pytest.raises(TypeError, match=r"^NoneType is no column: pass a sequence"):
        column_items(cast("Any", None), str)
