"""A length of time in the policy file, such as ``1h`` or ``365d``."""

from __future__ import annotations

import re

from vault.policy.reading.entry import Entry

__all__ = ["read_duration"]

_DURATION = re.compile(r"([1-9][0-9]{0,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_duration(entry: Entry, longest_days: int, example: str) -> int | None:
    """Returns a length of time in seconds, above zero; what is wrong is recorded."""
    text = entry.text()
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= longest_days * _SECONDS["d"]:
        entry.fail(
            f"must be a number and one of s, m, h and d, such as {example}, up to {longest_days}d"
        )
        return None
    return seconds
