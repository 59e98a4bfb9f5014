"""Options that cannot keep their promise are refused before anything is read."""

from __future__ import annotations

import pytest
import typer

from vault.bulk import OnReject
from vault.cli.convert import _refuse_stop_on_stream


def test_stop_needs_a_file_that_can_be_taken_back() -> None:
    with pytest.raises(typer.BadParameter, match="-o FILE"):
        _refuse_stop_on_stream(OnReject.STOP, "-")
    _refuse_stop_on_stream(OnReject.STOP, "out.csv")
    _refuse_stop_on_stream(OnReject.SKIP_ROW, "-")
