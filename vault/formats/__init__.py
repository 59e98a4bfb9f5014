"""What each kind of value looks like, and what its tokens look like. Pure."""

from __future__ import annotations

from vault.formats.contract import (
    Format,
    FormatOptionError,
    FormatOptions,
    Parsed,
    Plan,
    RandomPlan,
    TokenLuhn,
)
from vault.formats.layout import Layout
from vault.formats.table import FORMATS, build_format

__all__ = [
    "FORMATS",
    "Format",
    "FormatOptionError",
    "FormatOptions",
    "Layout",
    "Parsed",
    "Plan",
    "RandomPlan",
    "TokenLuhn",
    "build_format",
]
