"""What every ``KeyWrapper`` must do, the real one and the one for unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vault.config import KeysSettings
from vault.crypto.field_key import data_key_context
from vault.errors import KeysUnavailable
from vault.keys.hashicorp import HashicorpKeyWrapper
from vault.service.ports import KeyWrapper
from vault.testing.keys import LocalKeyWrapper

CONTEXTS = [data_key_context("default", f"field_{n}", "field", 1) for n in range(5)]


@pytest.fixture(scope="module", params=["local", "hashicorp"])
def wrapper(request: pytest.FixtureRequest) -> Iterator[KeyWrapper]:
    if request.param == "local":
        yield LocalKeyWrapper()
        return
    settings: KeysSettings = request.getfixturevalue("keys_settings")
    keys = HashicorpKeyWrapper(settings)
    yield keys
    keys.close()


def test_opens_what_it_made_in_order(wrapper: KeyWrapper) -> None:
    wrapped = wrapper.generate(CONTEXTS)
    pairs = list(zip(CONTEXTS, wrapped, strict=True))
    opened = wrapper.unwrap(pairs)
    assert [len(key) for key in opened] == [32] * len(CONTEXTS)
    assert len(set(opened)) == len(CONTEXTS)
    assert wrapper.unwrap(pairs[::-1]) == list(opened)[::-1]


def test_each_key_is_fresh(wrapper: KeyWrapper) -> None:
    first, second = wrapper.generate([CONTEXTS[0]] * 2)
    opened = wrapper.unwrap([(CONTEXTS[0], first), (CONTEXTS[0], second)])
    assert opened[0] != opened[1]


def test_nothing_asked_nothing_given(wrapper: KeyWrapper) -> None:
    assert list(wrapper.generate([])) == []
    assert list(wrapper.unwrap([])) == []


def test_a_key_opens_under_its_own_context_only(wrapper: KeyWrapper) -> None:
    (wrapped,) = wrapper.generate(CONTEXTS[:1])
    with pytest.raises(KeysUnavailable):
        wrapper.unwrap([(CONTEXTS[1], wrapped)])


@pytest.mark.parametrize("at", [0, 3])
def test_one_bad_key_fails_the_batch(wrapper: KeyWrapper, at: int) -> None:
    pairs = list(zip(CONTEXTS, wrapper.generate(CONTEXTS), strict=True))
    context, wrapped = pairs[at]
    pairs[at] = (context, wrapped[:-8] + "AAAAAAA=")
    with pytest.raises(KeysUnavailable) as failure:
        wrapper.unwrap(pairs)
    assert wrapped[:-8] not in str(failure.value)


def test_opens_more_than_one_request_may_hold(wrapper: KeyWrapper) -> None:
    wrapped = wrapper.generate(CONTEXTS)
    pairs = list(zip(CONTEXTS, wrapped, strict=True)) * 170
    assert wrapper.unwrap(pairs) == list(wrapper.unwrap(pairs[:5])) * 170
