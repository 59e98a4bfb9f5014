"""A witness's key is refused at the start, where it is none."""

from __future__ import annotations

import pytest

from vault.audit.tlog.note import NoteKey, SignatureType
from vault.config import WitnessSettings
from vault.errors import ConfigError
from vault.server.audit.publishing import _witness

KEY = NoteKey("w.example", bytes(32), SignatureType.COSIGNATURE)


def settings(vkey: str) -> WitnessSettings:
    return WitnessSettings(url="https://w.example/", public_key=vkey)


def test_a_witness_has_the_key_that_is_set() -> None:
    assert _witness(settings(KEY.to_vkey())).key == KEY


@pytest.mark.parametrize(
    "vkey", ["x", KEY.to_vkey()[:-1], NoteKey("w.example", bytes(32)).to_vkey()]
)
def test_what_is_no_witness_key_is_refused(vkey: str) -> None:
    with pytest.raises(ConfigError, match=r"type 0x04"):
        _witness(settings(vkey))
