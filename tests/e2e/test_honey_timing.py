"""Honey tokens are not told by the time of an answer: Welch's t-test, 10,000 calls of each.

A caller with a connection of its own asks for one token at a time, honey and others in random
order, where a touch alerts and freezes nobody. As in dudect (Reparaz and others, 2017) the slowest
calls, in which the machine did something else, are left out at several shares; what is said of
all of them holds. An attacker's calls would each be an alert, so 10,000 are more than there are.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import grpc
import pytest

from vault.client import Client
from vault.v1.tokenization_service_pb2 import DescribeRequest, DetokenizeRequest, LookupRequest

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

pytestmark = pytest.mark.soak

CALLS = 10_000
TOKENS = 50
# Of each call the share that is looked at, the quickest.
KEPT = (1.0, 0.99, 0.9, 0.5)
# Beyond it a difference counts as found (ISO/IEC 17825, dudect).
BOUND = 4.5
POLICY = """
version: 1
fields:
  card: {format: {alphabet: digits, min: 12, max: 12}, generator: ff1}
  account: {format: {alphabet: digits, min: 12, max: 12}, generator: ff1, storage: vaultless}
roles:
  pipeline: [{fields: ["*"], allow: [tokenize]}]
  keeper: [{fields: ["*"], allow: [manage_honey]}]
  caller: [{fields: ["*"], allow: [lookup, describe]}, {fields: ["*"], allow: [detokenize], view: full}]
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/keeper", roles: [keeper]}
  - {spiffe: "spiffe://example.org/caller", roles: [caller]}
"""  # noqa: E501
VALUES = [f"{at * 7_919:012}" for at in range(2 * TOKENS)]
SERVICE = "/vault.v1.TokenizationService/"

Seconds = tuple[list[float], list[float]]
"""Of calls with honey tokens, and with others."""

Requests = tuple[Sequence[bytes], Sequence[bytes]]
"""Those for honey tokens, and those for others."""


@pytest.fixture(scope="module")
def server(site: Site, start_server: StartServer) -> Server:
    path = site.directory / "timing.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return start_server(changes={"policy": {"path": str(path)}, "log": {"level": "warning"}})


@pytest.fixture(scope="module")
def planted(server: Server) -> dict[str, list[str]]:
    """Tokens of a field, the first half of them honey: made by one call, in no order."""
    made: dict[str, list[str]] = {}
    with server.client("pipeline") as pipeline, server.client("keeper") as keeper:
        for name in ("card", "account"):
            made[name] = [str(each) for each in pipeline.tokenize(name, VALUES).values]
            keeper.honey.add(name, "timing", made[name][:TOKENS])
    time.sleep(2)  # until they are known
    return made


def halves(requests: Sequence[bytes]) -> Requests:
    return requests[:TOKENS], requests[TOKENS:]


def detokenize(planted: dict[str, list[str]], name: str) -> Requests:
    return halves(
        [DetokenizeRequest(field=name, tokens=[t]).SerializeToString() for t in planted[name]]
    )


KINDS: dict[str, tuple[str, Callable[[dict[str, list[str]]], Requests]]] = {
    "Detokenize, vaulted": ("Detokenize", lambda planted: detokenize(planted, "card")),
    "Detokenize, vaultless": ("Detokenize", lambda planted: detokenize(planted, "account")),
    "Describe": (
        "Describe",
        lambda planted: halves(
            [DescribeRequest(field="card", tokens=[t]).SerializeToString() for t in planted["card"]]
        ),
    ),
    "Lookup": (
        "Lookup",
        lambda _: halves(
            [LookupRequest(field="card", values=[v]).SerializeToString() for v in VALUES]
        ),
    ),
}


def measured(call: Callable[[bytes], object], requests: Requests) -> Seconds:
    """Returns the seconds of as many calls of each, made in random order."""
    order = [0, 1] * CALLS
    random.shuffle(order)
    seconds: Seconds = ([], [])
    for _ in range(200):
        call(requests[1][0])
    gc.disable()
    try:
        for which in order:
            request = random.choice(requests[which])
            start = time.perf_counter()
            call(request)
            seconds[which].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return seconds


def welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Returns the difference of the means, in seconds, and Welch's t."""
    difference = statistics.fmean(one) - statistics.fmean(other)
    error = math.sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))
    return difference, difference / error


def kept(seconds: Seconds, share: float) -> Seconds:
    """Leaves out what took longer than a share of all calls."""
    every = sorted(seconds[0] + seconds[1])
    bound = every[min(len(every) - 1, int(share * len(every)))]
    return [s for s in seconds[0] if s <= bound], [s for s in seconds[1] if s <= bound]


@pytest.mark.parametrize("kind", KINDS)
def test_the_time_of_an_answer_does_not_tell_a_honey_token(
    server: Server, planted: dict[str, list[str]], kind: str
) -> None:
    rpc, requests = KINDS[kind]
    with server.client("caller") as client:
        seconds = measured(_caller(client, rpc), requests(planted))
    found = []
    for share in KEPT:
        honey, others = kept(seconds, share)
        difference, t = welch(honey, others)
        found.append(t)
        print(
            f"{kind}: quickest {share:.0%}: {len(honey)} and {len(others)} calls, mean "
            f"{statistics.fmean(others) * 1e6:.0f} us, difference {difference * 1e6:+.2f} us, "
            f"t = {t:+.2f}"
        )
    assert max(map(abs, found)) < BOUND


def _caller(client: Client, rpc: str) -> Callable[[bytes], object]:
    """Returns what makes a call, with no more of the client than its connection."""
    channel = client._channel
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        SERVICE + rpc, request_serializer=None, response_deserializer=None
    )
    return lambda request: call(request, timeout=30)
