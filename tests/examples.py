"""How many examples a property gets in the run's profile, which ``tests/conftest.py`` has."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["examples"]


def examples(times: float) -> settings:
    """Returns settings for a property that needs ``times`` as many examples as others."""
    return settings(max_examples=round(times * settings().max_examples))
