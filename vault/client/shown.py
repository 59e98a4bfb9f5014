"""What the answers of a detokenized column say besides the values."""

from __future__ import annotations

from vault.v1 import tokenization_service_pb2 as tokenization

__all__ = ["Shown"]


class Shown:
    """The view that was answered, and the receipts that were given."""

    def __init__(self) -> None:
        self._views: set[str] = set()
        self._receipts: list[str] = []

    def add(
        self, answer: tokenization.DetokenizeResponse | tokenization.DetokenizeColumnResponse
    ) -> None:
        """Takes the answer to the next request."""
        self._views.add(answer.view)
        self._receipts.append(answer.receipt)

    @property
    def view(self) -> str:
        """The view of all answers, empty where there is not one."""
        return next(iter(self._views)) if len(self._views) == 1 else ""

    @property
    def receipts(self) -> tuple[str, ...]:
        """Those that were given."""
        return tuple(filter(None, self._receipts))
