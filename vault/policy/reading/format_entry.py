"""Reads a field's format: its name and the options that stand beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from vault.formats import (
    FORMATS,
    DateOrder,
    EmailDomain,
    Format,
    FormatOptionError,
    FormatOptions,
    InvalidNumbers,
    LetterCase,
    NameScript,
    TokenCheck,
    build_format,
)
from vault.policy.reading.entry import Entry

__all__ = ["OPTION_KEYS", "integer_or_none", "read_format", "text_or_none"]

MOST_CHARACTERS = 10_000

OPTION_KEYS = frozenset(
    {
        "case",
        "countries",
        "domain",
        "earliest",
        "invalid",
        "label",
        "latest",
        "max",
        "min",
        "order",
        "region",
        "script",
        "separators",
        "token_check",
        "token_luhn",
    }
)
"""Keys of a field that are options of its format, besides ``keep``."""

_CHECKS: tuple[TokenCheck, ...] = ("valid", "invalid", "any")
_ORDERS: tuple[DateOrder, ...] = ("ymd", "dmy", "mdy")
_DOMAINS: tuple[EmailDomain, ...] = ("reserved", "kept", "drawn")
_INVALID: tuple[InvalidNumbers, ...] = ("refuse", "random")
_CASES: tuple[LetterCase, ...] = ("lower", "upper")
_SCRIPTS: tuple[NameScript, ...] = ("latin", "own")

Name = TypeVar("Name", bound=str)


def read_format(entries: Mapping[str, Entry]) -> tuple[str, Format | None]:
    """Returns the format's name and the format, or None after a problem."""
    at = entries.get("format")
    if at is None:
        return "", None
    before = at.problems
    name, places = _places(at, entries)
    options = _options(places)
    if at.problems > before:
        return name, None
    try:
        return name, build_format(name, options)
    except FormatOptionError as error:
        places.get(error.option, at).fail(error.message)
        return name, None


def _places(at: Entry, entries: Mapping[str, Entry]) -> tuple[str, dict[str, Entry]]:
    """Returns the format's name, and for each format option the entry that sets it."""
    places = {key: entries[key] for key in OPTION_KEYS if key in entries}
    if "keep" in entries:
        kept = entries["keep"].section({"first", "last", "domain"})
        places |= {f"keep_{key}": each for key, each in kept.items()}
    if not at.is_mapping():
        return at.one_of({name: name for name in FORMATS}) or "", places
    if "template" in at.named():
        return "template", places | at.section({"template"})
    for key, each in at.section({"alphabet", "min", "max"}, required=("alphabet",)).items():
        if key in places:
            each.fail(f"{key!r} is also set beside 'format': keep one of them")
        places[key] = each
    return "alphabet", places


def _options(places: Mapping[str, Entry]) -> FormatOptions:
    return FormatOptions(
        min=integer_or_none(places.get("min"), 1),
        max=integer_or_none(places.get("max"), 1),
        keep_first=integer_or_none(places.get("keep_first"), 0) or 0,
        keep_last=integer_or_none(places.get("keep_last"), 0) or 0,
        keep_domain=_boolean(places.get("keep_domain")),
        alphabet=text_or_none(places.get("alphabet")),
        separators=text_or_none(places.get("separators")),
        token_luhn=_one_of(places.get("token_luhn"), _CHECKS),
        token_check=_one_of(places.get("token_check"), _CHECKS),
        region=text_or_none(places.get("region")),
        invalid=_one_of(places.get("invalid"), _INVALID),
        countries=_texts(places.get("countries")),
        order=_one_of(places.get("order"), _ORDERS),
        earliest=text_or_none(places.get("earliest")),
        latest=text_or_none(places.get("latest")),
        case=_one_of(places.get("case"), _CASES),
        domain=_one_of(places.get("domain"), _DOMAINS),
        script=_one_of(places.get("script"), _SCRIPTS),
        label=text_or_none(places.get("label")),
        template=text_or_none(places.get("template")),
    )


def integer_or_none(entry: Entry | None, least: int) -> int | None:
    """Returns a whole number from ``least``; None where there is none, or after a problem."""
    return entry.integer(least, MOST_CHARACTERS) if entry else None


def text_or_none(entry: Entry | None) -> str | None:
    """Returns a text; None where there is none, or after a problem."""
    return entry.text() if entry else None


def _boolean(entry: Entry | None) -> bool:
    return bool(entry.boolean()) if entry else False


def _texts(entry: Entry | None) -> tuple[str, ...]:
    texts = [each.text() for each in entry.items()] if entry else []
    return tuple([text for text in texts if text is not None])


def _one_of(entry: Entry | None, names: Iterable[Name]) -> Name | None:
    return entry.one_of({name: name for name in names}) if entry else None
