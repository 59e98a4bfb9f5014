"""JSON that somebody else wrote: refused in one way, whatever is wrong with it."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.json_checkpoints import json_checkpoint
from vault.audit.checkpoint import Checkpoint, CheckpointHead, CheckpointLog
from vault.audit.checkpoint_reading import read_checkpoint
from vault.audit.integration_batch import time_of
from vault.audit.json_text import read_json
from vault.audit.record import canonical_json, read_opening, stated_id
from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import MacKey
from vault.errors import ConfigError, DecryptionFailed

KEY = MacKey(1, b"1" * 32)
DEEP = 100_000
GOOD = json_checkpoint(
    Checkpoint(
        datetime(2026, 11, 23, tzinfo=UTC),
        [CheckpointHead(UUID(int=1), 3, bytes(32))],
        CheckpointLog(3, bytes(32)),
    ),
    KEY,
)


def key_of(version: int) -> MacKey:
    if version != 1:
        raise DecryptionFailed
    return KEY


def with_value(name: str, value: object) -> str:
    return json.dumps({**json.loads(GOOD), name: value})


def sealed(**changes: object) -> str:
    """A checkpoint whose MAC is right and whose content is not."""
    content = {**json.loads(GOOD), **changes}
    del content["mac"]
    message = length_prefixed(b"tokenvault/v1/audit-checkpoint", canonical_json(content).encode())
    return canonical_json({**content, "mac": KEY.mac(message).hex()})


HOSTILE = {
    "empty": "",
    "not-json": "{",
    "deep-lists": "[" * DEEP,
    "deep-closed-lists": "[" * DEEP + "]" * DEEP,
    "deep-objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "deep-in-a-checkpoint": GOOD.rstrip()[:-1] + ',"x":' + "[" * DEEP + "]" * DEEP + "}",
    "deep-below-the-parser's-limit": GOOD.rstrip()[:-1] + ',"x":' + "[" * 900 + "]" * 900 + "}",
    "huge-integer": with_value("key_version", 1).replace(
        '"key_version": 1', '"key_version": ' + "9" * 5000
    ),
    "big-integer": with_value("key_version", 10**30),
    "negative-version": with_value("key_version", -1),
    "infinite": with_value("key_version", 1).replace('"key_version": 1', '"key_version": 1e999'),
    "named-infinity": with_value("key_version", float("inf")),
    "nan": with_value("key_version", float("nan")),
    "version-as-text": with_value("key_version", "1"),
    "version-as-boolean": with_value("key_version", True),
    "version-as-float": with_value("key_version", 1.0),
    "version-as-list": with_value("key_version", [1]),
    "mac-as-number": with_value("mac", 1),
    "mac-as-list": with_value("mac", ["00"]),
    "mac-not-hex": with_value("mac", "zz"),
    "mac-not-ascii": with_value("mac", "é"),
    "a-list": json.dumps([json.loads(GOOD)]),
    "a-string": '"x"',
    "a-number": "1",
    "null": "null",
    "twice-the-same-name": GOOD.rstrip()[:-1] + ',"v":2}',
    "lone-surrogate": with_value("time", "\ud800"),
    "nul": "\x00",
    "format-of-tomorrow": sealed(v=3),
    "format-as-boolean": sealed(v=True),
    "heads-as-object": sealed(heads={}),
    "head-as-text": sealed(heads=["x"]),
    "number-as-text": sealed(heads=[{"writer": str(UUID(int=1)), "number": "3", "mac": "00"}]),
    "number-too-big": sealed(heads=[{"writer": str(UUID(int=1)), "number": 2**63, "mac": "00"}]),
    "number-as-boolean": sealed(heads=[{"writer": str(UUID(int=1)), "number": True, "mac": "00"}]),
    "writer-no-uuid": sealed(heads=[{"writer": "x", "number": 3, "mac": "00"}]),
    "writer-as-number": sealed(heads=[{"writer": 1, "number": 3, "mac": "00"}]),
    "log-as-list": sealed(log=[1]),
    "log-size-as-text": sealed(log={"size": "3", "root": "00"}),
    "time-without-zone": sealed(time="2026-11-23T00:00:00"),
    "time-as-number": sealed(time=1),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_checkpoint_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(ConfigError, match="not a checkpoint of this audit"):
        read_checkpoint(text, key_of)


def test_a_checkpoint_is_read() -> None:
    assert read_checkpoint(GOOD, key_of).log == CheckpointLog(3, bytes(32))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_edited_body_is_no_reason_to_fail(text: str) -> None:
    assert stated_id(text) is None
    time_of(text)
    with pytest.raises(ValueError):  # noqa: PT011 - whatever its text
        read_opening(text)


@given(st.text())
def test_any_text_is_json_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        read_json(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(sorted(json.loads(GOOD))),
)
def test_no_value_of_any_kind_in_a_checkpoint_is_more_than_refused(
    value: object, name: str
) -> None:
    with suppress(ConfigError):
        read_checkpoint(with_value(name, value), key_of)
    if name != "mac":
        with suppress(ConfigError):
            read_checkpoint(sealed(**{name: value}), key_of)
