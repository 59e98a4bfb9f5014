"""Governed reveals: asking for values, and deciding on what others ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration

from vault.client.exchange import Exchange
from vault.v1 import reveal_service_pb2 as pb
from vault.v1.reveal_service_pb2_grpc import RevealServiceStub

__all__ = ["Reveals"]

_BATCH = 5000

T = TypeVar("T")


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
        break_glass: bool = False,
    ) -> pb.Reveal:
        """Asks to see the values behind tokens; returns the request, or one that covers it.

        Args:
            reason: why, in one line that approvers read.
            lifetime: how long the grant is to be good, at most.
            times: how often each token may be shown.
            break_glass: whether it is an emergency: granted at once, where the policy allows that,
                and to be reviewed by somebody else before the next.
        """
        return self._request(
            tokens,
            pb.RequestRevealRequest(
                field=field,
                view=view,
                purpose=purpose,
                ticket=ticket,
                reason=reason,
                times=times,
                lifetime=_duration(lifetime),
                break_glass=break_glass,
            ),
            lambda asked, batch: asked.tokens.extend(batch),
        )

    def request_ciphertexts(
        self,
        field: str,
        ciphertexts: Sequence[bytes],
        *,
        reason: str,
        purpose: str = "",
        ticket: str = "",
        lifetime: timedelta | None = None,
        times: int = 1,
        break_glass: bool = False,
    ) -> pb.Reveal:
        """Asks to decrypt ciphertexts, as ``request`` does for tokens."""
        return self._request(
            ciphertexts,
            pb.RequestRevealRequest(
                field=field,
                purpose=purpose,
                ticket=ticket,
                reason=reason,
                times=times,
                lifetime=_duration(lifetime),
                break_glass=break_glass,
            ),
            lambda asked, batch: asked.ciphertexts.extend(batch),
        )

    def _request(
        self,
        items: Sequence[T],
        asked: pb.RequestRevealRequest,
        add: Callable[[pb.RequestRevealRequest, Sequence[T]], None],
    ) -> pb.Reveal:
        """Sends a request, in drafts where its items are many."""
        made = pb.Reveal()
        # An emergency is one request; its budget keeps it small.
        size = max(1, len(items)) if asked.break_glass else _BATCH
        batches = [items[at : at + size] for at in range(0, len(items), size)] or [[]]
        for number, batch in enumerate(batches, 1):
            part = pb.RequestRevealRequest(reveal=made.id, more=number < len(batches))
            part.MergeFrom(asked)
            add(part, batch)
            made = self._exchange.call(self._reveal.RequestReveal, part).reveal
        return made

    def approve(self, reveal: str, comment: str = "") -> pb.Reveal:
        """Approves somebody else's request."""
        asked = pb.ApproveRevealRequest(reveal=reveal, comment=comment)
        return self._exchange.call(self._reveal.ApproveReveal, asked).reveal

    def deny(self, reveal: str, comment: str = "") -> pb.Reveal:
        """Denies somebody else's request."""
        asked = pb.DenyRevealRequest(reveal=reveal, comment=comment)
        return self._exchange.call(self._reveal.DenyReveal, asked).reveal

    def review(self, reveal: str, comment: str) -> pb.Reveal:
        """Writes the review of a reveal that nobody had approved."""
        asked = pb.ReviewRevealRequest(reveal=reveal, comment=comment)
        return self._exchange.call(self._reveal.ReviewReveal, asked).reveal

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


def _duration(length: timedelta | None) -> Duration | None:
    if length is None:
        return None
    made = Duration()
    made.FromTimedelta(length)
    return made
