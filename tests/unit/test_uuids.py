"""UUIDs as text."""

from __future__ import annotations

from uuid import UUID

import pytest

from vault.uuids import read_uuid

ID = "8c1f3a52-4a0e-4d0c-9f5e-0d6d0a6f2f11"


def test_one_spelling_is_read() -> None:
    assert read_uuid(ID) == UUID(ID)


@pytest.mark.parametrize(
    "text", ["", "x", ID.upper(), f"{{{ID}}}", f"urn:uuid:{ID}", ID.replace("-", ""), f" {ID}"]
)
def test_others_are_none(text: str) -> None:
    assert read_uuid(text) is None
