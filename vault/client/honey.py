"""Honey tokens: declaring tokens whose use raises an alarm."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from vault.client.exchange import Exchange
from vault.v1 import honey_service_pb2 as pb
from vault.v1.honey_service_pb2_grpc import HoneyServiceStub

__all__ = ["HoneyTokens"]


class HoneyTokens:
    """What ``Client.honey`` offers. Every method raises ``CallError``."""

    def __init__(self, channel: grpc.Channel, exchange: Exchange) -> None:
        self._honey = HoneyServiceStub(channel)
        self._exchange = exchange

    def add(self, field: str, label: str, tokens: Sequence[str]) -> pb.HoneySet:
        """Declares tokens that there are to be honey; at most one request's worth.

        Args:
            label: what alerts call them.
        """
        asked = pb.AddHoneyTokensRequest(field=field, label=label, tokens=tokens)
        return self._exchange.call(self._honey.AddHoneyTokens, asked).set

    def retire(self, honey_set: str) -> pb.HoneySet:
        """Has the tokens of a set, given by its id, be honey no more."""
        asked = pb.RetireHoneyTokensRequest(set=honey_set)
        return self._exchange.call(self._honey.RetireHoneyTokens, asked).set

    def list(self) -> Sequence[pb.HoneySet]:
        """Returns the sets of the fields that the caller may manage."""
        return self._exchange.call(self._honey.ListHoneyTokens, pb.ListHoneyTokensRequest()).sets
