"""The one way to register an RPC: a row; path and permission come from the descriptors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message

from vault.model import Failure
from vault.service.call import Call
from vault.service.results import outcome_counts

__all__ = ["BoundCall", "EncodedResponse", "Method", "Rpc", "RpcDefinition", "registry"]

Request = TypeVar("Request", bound=Message)


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """An answer as it goes out, and how many items had which outcome."""

    encoded: bytes = field(repr=False)
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_message(cls, message: Message) -> EncodedResponse:
        """Writes the answer of an RPC that takes no batch."""
        return cls(message.SerializeToString())

    @classmethod
    def from_batch(
        cls, message: Message, total: int, failures: Mapping[int, Failure]
    ) -> EncodedResponse:
        """Writes the answer to a batch of ``total`` items."""
        return cls(message.SerializeToString(), outcome_counts(total, failures))


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A parsed request with its use case.

    Attributes:
        field_name: the field the caller names, unchecked, or empty.
        items: number of items in the batch; None where the RPC takes no batch.
        run: does the work. Raises what the use case raises.
    """

    field_name: str = field(repr=False)
    items: int | None
    run: Callable[[Call], EncodedResponse] = field(repr=False)


Method = Callable[[bytes], BoundCall]
"""Parses a request. Raises google.protobuf.message.DecodeError and InvalidRequest."""


class RpcDefinition(Protocol):
    """What the registry needs of an RPC."""

    @property
    def request(self) -> type[Message]:
        """The request's type, which no two RPCs share."""

    def bind(self, raw: bytes) -> BoundCall:
        """Parses a request, as ``Method``."""


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Request]):
    """An RPC: how a request becomes a use case's arguments, and its result an answer.

    Attributes:
        request: the request's type.
        field: returns the field that a request names; None where the RPC concerns none.
        items: returns the size of a batch; None where the RPC takes none.
        run: does the work. Raises what the use case raises.
    """

    request: type[Request]
    field: Callable[[Request], str] | None
    items: Callable[[Request], int] | None
    run: Callable[[Call, Request], EncodedResponse]

    def bind(self, raw: bytes) -> BoundCall:
        """Parses a request. Raises DecodeError."""
        request = self.request.FromString(raw)
        return BoundCall(
            "" if self.field is None else self.field(request),
            None if self.items is None else self.items(request),
            lambda call: self.run(call, request),
        )


def registry(*rows: Iterable[RpcDefinition]) -> Mapping[str, Method]:
    """Returns the RPCs by their full method names (``/vault.v1.X/Y``)."""
    return {_path(row.request): row.bind for each in rows for row in each}


def _path(request: type[Message]) -> str:
    """Returns the full name of the method that takes a request."""
    taken = request.DESCRIPTOR
    (path,) = (
        f"/{service.full_name}/{method.name}"
        for service in taken.file.services_by_name.values()
        for method in service.methods
        if method.input_type.full_name == taken.full_name
    )
    return path
