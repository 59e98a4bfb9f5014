"""What each kind of value looks like, and what its tokens look like. Pure."""

from __future__ import annotations

from vault.formats.base.contract import (
    FiniteTokenSpace,
    Format,
    HasParts,
    HasRegions,
    HasWords,
    Opening,
    Parsed,
    Plan,
    RandomPlan,
    Spelled,
    Widening,
    token_form,
)
from vault.formats.base.layout import Layout
from vault.formats.base.options import FormatOptionError, OptionValue, OptionValues
from vault.formats.catalogue.table import FORMATS, OPTIONS, build_format, options_of

__all__ = [
    "FORMATS",
    "OPTIONS",
    "FiniteTokenSpace",
    "Format",
    "FormatOptionError",
    "HasParts",
    "HasRegions",
    "HasWords",
    "Layout",
    "Opening",
    "OptionValue",
    "OptionValues",
    "Parsed",
    "Plan",
    "RandomPlan",
    "Spelled",
    "Widening",
    "build_format",
    "options_of",
    "token_form",
]
