"""Names that no request can hold are refused before anything is sent."""

from __future__ import annotations

from typing import cast

import grpc
import pytest

from vault.client import Client, ClientTls, PackedColumn


class Anyone:
    """Stands in for credentials of a server that is never called."""

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials()

    def credential_problem(self) -> str:
        return ""


def test_a_name_that_is_no_unicode_is_refused() -> None:
    with Client("localhost:1", cast(ClientTls, Anyone())) as client:
        for call in (
            lambda: client.tokenize("card\udcff", ["1"]),
            lambda: client.tokenize("phone", ["1"], region="\udcff"),
            lambda: client.encrypt("\udcff", [b"1"]),
            lambda: client.tokenize_column("\udcff", PackedColumn.of(["1"])),
        ):
            with pytest.raises(ValueError, match="field, region or view is not valid Unicode"):
                call()
