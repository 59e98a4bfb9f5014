"""What each kind of value looks like, and what its tokens look like. Pure."""

from __future__ import annotations

from vault.formats.base.contract import (
    DateOrder,
    Divided,
    EmailDomain,
    Finite,
    Format,
    FormatOptionError,
    FormatOptions,
    InvalidNumbers,
    LetterCase,
    NameScript,
    Opening,
    Parsed,
    Plan,
    RandomPlan,
    Regional,
    Spelled,
    TokenCheck,
    TokenLuhn,
    Widening,
    Worded,
    token_form,
)
from vault.formats.base.layout import Layout
from vault.formats.catalogue.table import FORMATS, build_format

__all__ = [
    "FORMATS",
    "DateOrder",
    "Divided",
    "EmailDomain",
    "Finite",
    "Format",
    "FormatOptionError",
    "FormatOptions",
    "InvalidNumbers",
    "Layout",
    "LetterCase",
    "NameScript",
    "Opening",
    "Parsed",
    "Plan",
    "RandomPlan",
    "Regional",
    "Spelled",
    "TokenCheck",
    "TokenLuhn",
    "Widening",
    "Worded",
    "build_format",
    "token_form",
]
