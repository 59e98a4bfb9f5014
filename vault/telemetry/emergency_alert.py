"""Telling operators at once of values that are revealed without approval."""

from __future__ import annotations

from collections.abc import Callable

from vault.service.reveal.model import Reveal
from vault.telemetry.logging import get_log

__all__ = ["EmergencyAlert"]

_log = get_log(__name__)


class EmergencyAlert:
    """Logs and counts them; threads share it."""

    def __init__(self, count: Callable[[str], None]) -> None:
        """Takes what counts one, by its field."""
        self._count = count

    def __call__(self, reveal: Reveal) -> None:
        """Takes a reveal that was granted in an emergency."""
        _log.warning(
            "values are revealed without approval",
            reveal=str(reveal.id),
            principal=reveal.principal,
            person=reveal.person.value,
            field=reveal.field,
            view=reveal.view,
            tokens=reveal.tokens,
        )
        self._count(reveal.field)
