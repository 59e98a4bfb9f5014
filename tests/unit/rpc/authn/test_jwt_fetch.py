"""Keys from an address: when they are read, and what happens while it is unavailable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from types import MappingProxyType

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from vault.rpc.authn.jwt_fetch import RemoteKeys
from vault.rpc.authn.jwt_keys import KeySet, VerificationKey

KEY = VerificationKey(ec.generate_private_key(ec.SECP256R1()).public_key(), frozenset({"ES256"}))


class Address:
    """What a fetch answers, and how often it was asked."""

    def __init__(self, *names: str) -> None:
        self.keys: KeySet = MappingProxyType(dict.fromkeys(names, KEY))
        self.error: Exception | None = None
        self.reads = 0

    def publish(self, *names: str) -> None:
        self.keys = MappingProxyType(dict.fromkeys(names, KEY))

    def fetch(self) -> KeySet:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.keys


@contextmanager
def reading(
    fetch: Callable[[], KeySet],
    *,
    refresh: float = 60.0,
    least_pause: float = 60.0,
    max_age: float = 60.0,
) -> Iterator[RemoteKeys]:
    keys = RemoteKeys(
        "https://idp",
        fetch,
        timedelta(seconds=refresh),
        least_pause=least_pause,
        max_age=max_age,
    )
    keys.start()
    try:
        yield keys
    finally:
        keys.stop()


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_first_call_waits_for_the_first_read() -> None:
    def slow() -> KeySet:
        time.sleep(0.2)
        return MappingProxyType({"a": KEY})

    with reading(slow) as keys:
        assert keys.find("a") is KEY


def test_an_unknown_name_has_the_keys_read_again_at_once() -> None:
    address = Address("a")
    with reading(address.fetch, least_pause=0.01) as keys:
        eventually(lambda: keys.find("a") is not None)
        time.sleep(0.02)
        address.publish("a", "b")
        assert keys.find("b") is KEY


def test_strangers_cannot_make_it_ask_all_the_time() -> None:
    address = Address("a")
    with reading(address.fetch) as keys:
        eventually(lambda: keys.find("a") is not None)
        begun = time.monotonic()
        assert [keys.find(f"x{n}") for n in range(1000)] == [None] * 1000
        assert time.monotonic() - begun < 1
    assert address.reads == 1


def test_few_calls_wait_for_a_slow_issuer() -> None:
    def slow() -> KeySet:
        time.sleep(2)
        return MappingProxyType({})

    with reading(slow, least_pause=0.0) as keys, ThreadPoolExecutor(40) as pool:
        begun = time.monotonic()
        waited = list(pool.map(lambda n: _seconds_of(keys, f"x{n}"), range(40)))
        assert time.monotonic() - begun < 2
    assert sum(seconds > 0.5 for seconds in waited) <= 4


def _seconds_of(keys: RemoteKeys, kid: str) -> float:
    begun = time.monotonic()
    assert keys.find(kid) is None
    return time.monotonic() - begun


def test_withdrawn_keys_go_at_the_next_read() -> None:
    address = Address("a", "b")
    with reading(address.fetch, refresh=0.02, least_pause=0.01) as keys:
        eventually(lambda: keys.find("b") is not None)
        address.publish("a")
        eventually(lambda: keys.find("b") is None)
        assert keys.find("a") is KEY


@pytest.mark.parametrize("error", [OSError("secret"), ValueError("is not JSON"), KeyError("bug")])
def test_keys_outlive_an_issuer_that_is_away_and_it_is_told_once(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    address = Address("a")
    with reading(address.fetch, refresh=0.01, least_pause=0.01) as keys:
        eventually(lambda: keys.find("a") is not None)
        address.error, reads = error, address.reads
        eventually(lambda: address.reads > reads + 3)
        assert keys.find("a") is KEY
        assert keys.problem()
        assert "secret" not in keys.problem()
        address.error = None
        address.publish("b")
        eventually(lambda: keys.find("b") is KEY)
        assert keys.problem() == ""
    told = "".join(capsys.readouterr())
    assert told.count("cannot be read") == 1
    assert "secret" not in told


def test_keys_end_when_the_issuer_is_away_for_too_long() -> None:
    address = Address("a")
    with reading(address.fetch, refresh=0.01, least_pause=0.01, max_age=0.2) as keys:
        eventually(lambda: keys.find("a") is not None)
        address.error = OSError()
        eventually(lambda: keys.find("a") is None)
