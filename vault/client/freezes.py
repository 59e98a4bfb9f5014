"""Freezes: refusing a caller whatever its roles, and ending that."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from vault.client.exchange import Exchange
from vault.v1 import freeze_service_pb2 as pb
from vault.v1.freeze_service_pb2_grpc import FreezeServiceStub

__all__ = ["Freezes"]


class Freezes:
    """What ``Client.freezes`` offers. Every method raises ``CallError``."""

    def __init__(self, channel: grpc.Channel, exchange: Exchange) -> None:
        self._freeze = FreezeServiceStub(channel)
        self._exchange = exchange

    def freeze(self, target: pb.FreezeTarget, reason: str) -> pb.FreezeStatus:
        """Freezes a principal or a person."""
        asked = pb.FreezeRequest(target=target, reason=reason)
        return self._exchange.call(self._freeze.Freeze, asked).status

    def lift(self, target: pb.FreezeTarget, reason: str) -> pb.FreezeStatus:
        """Lifts somebody else's freeze."""
        asked = pb.LiftFreezeRequest(target=target, reason=reason)
        return self._exchange.call(self._freeze.LiftFreeze, asked).status

    def list(self) -> Sequence[pb.FreezeStatus]:
        """Returns who is frozen, was, or touched honey tokens."""
        return self._exchange.call(self._freeze.ListFreezes, pb.ListFreezesRequest()).freezes
