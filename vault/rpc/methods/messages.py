"""Messages that answers of several services have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from vault.model import Failure
from vault.v1.item_error_pb2 import ItemError

__all__ = ["item_errors", "timestamp"]


def item_errors(failures: Mapping[int, Failure]) -> Iterable[ItemError]:
    """Returns a batch's failures as the answer has them, by rising index."""
    return [
        ItemError(
            index=index,
            reason=failure.reason.value,
            message=failure.message,
            retryable=failure.retryable,
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
