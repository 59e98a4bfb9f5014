"""Formats: what each kind of value, and its tokens, look like. Pure."""

from __future__ import annotations

from vault.formats.base.contract import (
    FiniteTokenSpace,
    Format,
    HasFirstCharacters,
    HasParts,
    HasRegions,
    HasSpellings,
    HasWords,
    Parsed,
    Plan,
    RandomPlan,
    UnboundedTokenSpace,
    token_recogniser,
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
    "UnboundedTokenSpace",
    "build_format",
    "options_of",
    "token_recogniser",
]
