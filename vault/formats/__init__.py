"""What each kind of value looks like, and what its tokens look like. Pure."""

from __future__ import annotations

from vault.formats.base.contract import (
    DateOrder,
    EmailDomain,
    FiniteTokenSpace,
    Format,
    FormatOptionError,
    FormatOptions,
    HasParts,
    HasRegions,
    HasWords,
    InvalidNumbers,
    LetterCase,
    NameScript,
    Opening,
    Parsed,
    Plan,
    RandomPlan,
    Spelled,
    TokenCheck,
    TokenLuhn,
    Widening,
    token_form,
)
from vault.formats.base.layout import Layout
from vault.formats.catalogue.table import FORMATS, build_format

__all__ = [
    "FORMATS",
    "DateOrder",
    "EmailDomain",
    "FiniteTokenSpace",
    "Format",
    "FormatOptionError",
    "FormatOptions",
    "HasParts",
    "HasRegions",
    "HasWords",
    "InvalidNumbers",
    "Layout",
    "LetterCase",
    "NameScript",
    "Opening",
    "Parsed",
    "Plan",
    "RandomPlan",
    "Spelled",
    "TokenCheck",
    "TokenLuhn",
    "Widening",
    "build_format",
    "token_form",
]
