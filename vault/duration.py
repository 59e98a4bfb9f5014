"""Durations as people write them, in settings and on the command line."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["parse_duration"]

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)")


def parse_duration(text: object) -> timedelta:
    """Reads a duration such as ``500ms``, ``10s``, ``5m``, ``1h`` or ``30d``.

    Raises:
        ValueError: the text is no duration.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('write a number and a unit, such as "10s", "5m" or "1h"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
