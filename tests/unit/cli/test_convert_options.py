"""Options that cannot keep their promise are refused before anything is read."""

from __future__ import annotations

import pytest
import typer

from vault.bulk import OnReject
from vault.cli.convert import _refuse_stop_on_stream, _regions


def test_stop_needs_a_file_that_can_be_taken_back() -> None:
    with pytest.raises(typer.BadParameter, match="-o FILE"):
        _refuse_stop_on_stream(OnReject.STOP, "-")
    _refuse_stop_on_stream(OnReject.STOP, "out.csv")
    _refuse_stop_on_stream(OnReject.SKIP_ROW, "-")


def test_regions_are_given_by_field() -> None:
    assert _regions(["phone=DE", "fax=US"]) == ({"phone": "DE", "fax": "US"}, {})
    assert _regions(["phone=@land=x", "fax=US"]) == ({"fax": "US"}, {"phone": "land=x"})


def test_a_country_is_written_as_in_a_column_of_countries() -> None:
    assert _regions(["phone=de", "fax=uk"]) == ({"phone": "DE", "fax": "GB"}, {})
    with pytest.raises(typer.BadParameter, match="there is no such country"):
        _regions(["phone=XX"])


@pytest.mark.parametrize(
    "pairs", [["DE"], ["=DE"], ["phone="], ["phone=@"], ["phone=Germany"], ["phone=DE", "phone=US"]]
)
def test_regions_that_cannot_be_read_are_refused(pairs: list[str]) -> None:
    with pytest.raises(typer.BadParameter, match="--region"):
        _regions(pairs)
