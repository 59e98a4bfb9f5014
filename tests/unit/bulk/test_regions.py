"""Which regions a file may name: those that the service knows, without its numbering plans."""

from __future__ import annotations

import phonenumbers
import pytest

from vault.bulk import regions
from vault.bulk.regions import parse_region


def test_the_regions_are_those_of_the_numbering_plans() -> None:
    assert set(phonenumbers.SUPPORTED_REGIONS) == regions._REGIONS


@pytest.mark.parametrize(
    ("cell", "value", "region"),
    [
        ("de", "030 1", "DE"),
        (" UK ", "020 1", "GB"),
        ("", "+49 30 1", ""),
        ("Germany", "030 1", None),
        ("XX", "030 1", None),
    ],
)
def test_a_cell_names_a_region_or_none(cell: str, value: str, region: str | None) -> None:
    assert parse_region(cell, value) == region
