"""Messages that answers of several services have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from vault.model import Failure, Justification
from vault.v1.item_error_pb2 import ItemError

__all__ = ["granted", "item_errors", "justification", "timestamp"]


class _Justified(Protocol):
    """A request that says what it is for."""

    @property
    def purpose(self) -> str: ...
    @property
    def ticket(self) -> str: ...


def justification(request: _Justified) -> Justification:
    """Returns what a request says that it is for."""
    return Justification(request.purpose, request.ticket)


class _Granted(_Justified, Protocol):
    """A request that may name what was approved for it."""

    @property
    def grant(self) -> str: ...


def granted(request: _Granted) -> Justification:
    """Returns what a request says that it is for, and the grant that it names."""
    return Justification(request.purpose, request.ticket, request.grant)


def item_errors(failures: Mapping[int, Failure]) -> Iterable[ItemError]:
    """Returns a batch's failures as the answer has them, by rising index."""
    return [
        ItemError(
            index=index,
            reason=failure.reason.value,
            message=failure.message,
            retryable=failure.retryable,
            substitute=failure.substitute,
            on_denied=failure.on_denied.value if failure.substitute else "",
        )
        for index, failure in sorted(failures.items())
    ]


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Returns a moment, or None for None."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
