"""Governed reveals: asking for values, and deciding on what others ask for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration

from vault.client.exchange import Exchange
from vault.v1 import reveal_service_pb2 as pb
from vault.v1.reveal_service_pb2_grpc import RevealServiceStub

__all__ = ["Reveals"]

_BATCH = 5000


class Reveals:
    """What ``Client.reveals`` offers. Every method raises ``CallError``."""

    def __init__(self, channel: grpc.Channel, exchange: Exchange) -> None:
        self._reveal = RevealServiceStub(channel)
        self._exchange = exchange

    def request(
        self,
        field: str,
        tokens: Sequence[str],
        *,
        reason: str,
        view: str = "",
        purpose: str = "",
        ticket: str = "",
        lifetime: timedelta | None = None,
        times: int = 1,
    ) -> pb.Reveal:
        """Asks to see the values behind tokens; returns the request, or one that covers it.

        Args:
            reason: why, in one line that approvers read.
            lifetime: how long the grant is to be good, at most.
            times: how often each token may be shown.
        """
        made = pb.Reveal()
        batches = [tokens[at : at + _BATCH] for at in range(0, len(tokens), _BATCH)] or [[]]
        for number, batch in enumerate(batches, 1):
            asked = pb.RequestRevealRequest(
                field=field,
                view=view,
                purpose=purpose,
                ticket=ticket,
                reason=reason,
                tokens=batch,
                times=times,
                more=number < len(batches),
                reveal=made.id,
            )
            if lifetime is not None:
                length = Duration()
                length.FromTimedelta(lifetime)
                asked.lifetime.CopyFrom(length)
            made = self._exchange.call(self._reveal.RequestReveal, asked).reveal
        return made

    def approve(self, reveal: str, comment: str = "") -> pb.Reveal:
        """Approves somebody else's request."""
        asked = pb.ApproveRevealRequest(reveal=reveal, comment=comment)
        return self._exchange.call(self._reveal.ApproveReveal, asked).reveal

    def deny(self, reveal: str, comment: str = "") -> pb.Reveal:
        """Denies somebody else's request."""
        asked = pb.DenyRevealRequest(reveal=reveal, comment=comment)
        return self._exchange.call(self._reveal.DenyReveal, asked).reveal

    def get(self, reveal: str) -> pb.Reveal:
        """Returns a request of the caller's, or that the caller may decide on."""
        return self._exchange.call(
            self._reveal.GetReveal, pb.GetRevealRequest(reveal=reveal)
        ).reveal

    def list(self) -> Sequence[pb.Reveal]:
        """Returns the caller's requests, and those that wait for the caller's decision."""
        return self._exchange.call(self._reveal.ListReveals, pb.ListRevealsRequest()).reveals

    def withdraw(self, reveal: str) -> pb.Reveal:
        """Takes back a request of the caller's."""
        asked = pb.WithdrawRevealRequest(reveal=reveal)
        return self._exchange.call(self._reveal.WithdrawReveal, asked).reveal

    def revoke(self, reveal: str, comment: str = "") -> pb.Reveal:
        """Ends a grant at once."""
        asked = pb.RevokeRevealRequest(reveal=reveal, comment=comment)
        return self._exchange.call(self._reveal.RevokeReveal, asked).reveal
