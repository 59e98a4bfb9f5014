"""Encrypt and Decrypt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vault.errors import Denied, InvalidRequest, Reason
from vault.model import TokenSpace

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness

PLAINTEXTS = [b"one", b"\x00\xff" * 100]


def test_bytes_round_trip_under_their_context(harness: ServiceHarness) -> None:
    sealed = harness.encrypt("ssn", PLAINTEXTS, b"row 1")
    opened = harness.decrypt("ssn", sealed.values, b"row 1")

    assert opened.values == PLAINTEXTS
    assert opened.failures == {}
    assert harness.keys.charged == [2]


def test_what_does_not_open_is_one_opaque_failure(harness: ServiceHarness) -> None:
    sealed = harness.encrypt("ssn", [b"one"], b"row 1").values[0]
    key = harness.keys.field_key(TokenSpace("default", "ssn"), 1)
    vault_row = key.seal(b"one", scope="field", token="t")
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])

    result = harness.decrypt("ssn", [flipped, b"junk", vault_row], b"row 1")
    elsewhere = harness.decrypt("ssn", [sealed], b"row 2")

    failures = [*result.failures.values(), *elsewhere.failures.values()]
    assert len(failures) == 4
    assert {failure.reason for failure in failures} == {Reason.DECRYPTION_FAILED}
    assert len(set(failures)) == 1


def test_empty_items_and_long_contexts_are_refused(harness: ServiceHarness) -> None:
    result = harness.encrypt("ssn", [b"", b"x"], b"")

    assert result.failures[0].reason is Reason.VALUE_TOO_SHORT
    assert result.values[1]
    with pytest.raises(InvalidRequest):
        harness.encrypt("ssn", [b"x"], b"c" * 1025)


def test_only_the_named_role_may(harness: ServiceHarness) -> None:
    with pytest.raises(Denied):
        harness.decrypt("ssn", [b"x"], b"", "restorer")

    assert harness.work.events[-1].outcome == "denied"
