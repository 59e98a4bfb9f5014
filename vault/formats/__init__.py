"""Formats: what each kind of value, and its tokens, look like. Pure."""

from __future__ import annotations

from vault.formats.base.contract import (
    FiniteFormatSpace,
    Format,
    HasFirstCharacters,
    HasParts,
    HasRegions,
    HasSpellings,
    HasWords,
    Parsed,
    Plan,
    RandomPlan,
    UnboundedFormatSpace,
    token_recogniser,
)
from vault.formats.base.layout import Layout
from vault.formats.base.options import FormatOptionError, OptionValue, OptionValues
from vault.formats.catalogue.table import FORMATS, OPTIONS, build_format, options_of

__all__ = [
    "FORMATS",
    "OPTIONS",
    "FiniteFormatSpace",
    "Format",
    "FormatOptionError",
    "HasFirstCharacters",
    "HasParts",
    "HasRegions",
    "HasSpellings",
    "HasWords",
    "Layout",
    "OptionValue",
    "OptionValues",
    "Parsed",
    "Plan",
    "RandomPlan",
    "UnboundedFormatSpace",
    "build_format",
    "options_of",
    "token_recogniser",
]
