"""Erasing by a file: what cannot be read safely is never called erased."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from vault.bulk import CsvError, CsvOptions, OnReject, erase_csv
from vault.client import Erased

CARD = CsvOptions({"card": "card_number"}, on_reject=OnReject.EMPTY_CELL, chunk_rows=2)


class Eraser:
    """Erases whatever it is given, and keeps count."""

    def __init__(self) -> None:
        self.erased: list[str | None] = []

    def erase(
        self,
        field: str,
        *,
        tokens: Sequence[str | None] | None = None,
        values: Sequence[str | None] | None = None,
    ) -> Erased:
        cells = values if tokens is None else tokens
        assert cells is not None
        self.erased += cells
        return Erased(len(cells), {}, 0)


def test_a_file_whose_rows_are_joined_is_not_erased_by() -> None:
    service = Eraser()
    stray = b'name,card\n"Bob,4111\nAl,5500\nCy "x",4012\n'
    with pytest.raises(CsvError, match=r"line 4: .*; nothing was erased$") as caught:
        erase_csv(service, io.BytesIO(stray), CARD, by_value=True)
    assert str(caught.value) == caught.value.message
    assert service.erased == []


def test_what_was_erased_before_the_fault_is_told() -> None:
    service = Eraser()
    data = b'name,card\nx,1\ny,2\nz,3\n"Bob,4111\nAl,5500\n'
    with pytest.raises(CsvError, match=r"line 5: .*; what 2 cells name, and no more, was erased$"):
        erase_csv(service, io.BytesIO(data), CARD, by_value=True)
    assert service.erased == ["1", "2"]


def test_rows_that_stand_in_a_cell_are_told_as_not_erased() -> None:
    service = Eraser()
    data = b'name,card\n"Bob,4111111111111111\nAl",5500005555555559\nCy,4012888888881881\n'
    summary = erase_csv(service, io.BytesIO(data), CARD, by_value=True)
    assert summary.rejects == {("", "ROW_MALFORMED"): 1}
    assert service.erased == ["4012888888881881"]
