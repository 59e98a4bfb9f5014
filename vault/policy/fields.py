"""Reads the ``fields`` section: what each field is, and what it may not be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vault.formats import (
    FORMATS,
    Format,
    FormatOptionError,
    FormatOptions,
    TokenLuhn,
    build_format,
)
from vault.model import Generator, Scope, Storage
from vault.policy.entry import Entry
from vault.policy.forbidden import forbidden_data
from vault.policy.model import SMALL_DOMAIN, Field
from vault.policy.views import RESERVED, View

__all__ = ["LEAST_DOMAIN", "LEAST_FF3_1_DOMAIN", "NAME", "NAME_RULE", "read_fields"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
NAME_RULE = "must be a lower-case letter and up to 62 more of a-z, 0-9 and _"

LEAST_DOMAIN = 1_000_000
"""NIST SP 800-38G Rev. 1 draft: radix^minlen is at least 1,000,000 for FF1 and FF3-1."""

LEAST_FF3_1_DOMAIN = 10**10
"""Under this, FF3-1 needs an acknowledgement in the policy."""

MOST_CHARACTERS = 10_000

_BESIDE = ("min", "max", "separators", "token_luhn")
_KEYS = frozenset(
    {"format", "keep", "generator", "storage", "scope", "views", "acknowledge", *_BESIDE}
)
_UNBUILT = {
    "ttl": "without it a token does not expire",
    "limits": "without it nothing limits how many values a caller may ask for",
    "budget": "without it nothing limits how many values a caller may ask for",
}
_UNBUILT_SCOPES = frozenset({"subject", "session"})
_LUHN: Mapping[str, TokenLuhn] = {"valid": "valid", "invalid": "invalid", "any": "any"}
_VIEW_KEYS = frozenset({"show_first", "show_last", "mask"})


def read_fields(entry: Entry) -> dict[str, Field | None]:
    """Returns every field by name; None for one that has a problem (recorded)."""
    before = entry.problems
    named = entry.named()
    if not named and entry.problems == before:
        entry.fail("has no field: add at least one")
    return {name: _read_field(name, each) for name, each in named.items()}


@dataclass(frozen=True, slots=True)
class _Making:
    """How a field's tokens are made, and where the file says so."""

    generator: Generator
    storage: Storage
    scope: Scope
    acknowledged: frozenset[str]
    generator_at: Entry
    storage_at: Entry
    scope_at: Entry


def _read_field(name: str, entry: Entry) -> Field | None:
    before = entry.problems
    _check_name(name, entry)
    entries = entry.section(_KEYS, required=("format", "generator"), unbuilt=_UNBUILT)
    views = _read_views(entries.get("views"))
    making = _read_making(entry, entries)
    format_name, form = _read_format(entries)
    if form is not None and making is not None:
        _check_making(form, making)
    if entry.problems > before or form is None or making is None:
        return None
    return Field(
        name=name,
        format=form,
        format_name=format_name,
        generator=making.generator,
        storage=making.storage,
        scope=making.scope,
        views=MappingProxyType(views),
        acknowledged=making.acknowledged,
        line=entry.line,
    )


def _check_name(name: str, entry: Entry) -> None:
    if not NAME.fullmatch(name):
        entry.fail(f"a field's name {NAME_RULE}")
    kind = forbidden_data(name)
    if kind is not None:
        entry.fail(
            f"the name says that this is {kind}, which may not be kept after authorisation, "
            "tokenized or not (PCI DSS 3.3.1): remove the field, or rename it if it is another"
        )


def _read_making(entry: Entry, entries: Mapping[str, Entry]) -> _Making | None:
    generator_at = entries.get("generator")
    generator = generator_at.choice(Generator) if generator_at else None
    storage_at, scope_at = entries.get("storage"), entries.get("scope")
    storage = storage_at.choice(Storage) if storage_at else Storage.VAULTED
    scope = scope_at.choice(Scope, unbuilt=_UNBUILT_SCOPES) if scope_at else Scope.FIELD
    acknowledged = _read_acknowledged(entries.get("acknowledge"))
    if generator_at is None or generator is None or storage is None or scope is None:
        return None
    return _Making(
        generator,
        storage,
        scope,
        acknowledged,
        generator_at,
        storage_at or entry,
        scope_at or entry,
    )


def _read_acknowledged(entry: Entry | None) -> frozenset[str]:
    if entry is None:
        return frozenset()
    flags = entry.section({SMALL_DOMAIN})
    return frozenset(name for name, each in flags.items() if each.flag())


def _read_format(entries: Mapping[str, Entry]) -> tuple[str, Format | None]:
    """Returns the format's name and the format, or None after a problem."""
    at = entries.get("format")
    if at is None:
        return "", None
    before = at.problems
    name, places = _format_places(at, entries)
    options = FormatOptions(
        min=_whole(places.get("min"), 1),
        max=_whole(places.get("max"), 1),
        keep_first=_whole(places.get("keep_first"), 0) or 0,
        keep_last=_whole(places.get("keep_last"), 0) or 0,
        keep_domain=_flag(places.get("keep_domain")),
        alphabet=_text(places.get("alphabet")),
        separators=_text(places.get("separators")),
        token_luhn=_token_luhn(places.get("token_luhn")),
    )
    if at.problems > before:
        return name, None
    try:
        return name, build_format(name, options)
    except FormatOptionError as error:
        places.get(error.option, at).fail(error.message)
        return name, None


def _format_places(at: Entry, entries: Mapping[str, Entry]) -> tuple[str, dict[str, Entry]]:
    """Returns the format's name, and for each format option the entry that sets it."""
    places = {key: entries[key] for key in _BESIDE if key in entries}
    if "keep" in entries:
        kept = entries["keep"].section({"first", "last", "domain"})
        places |= {f"keep_{key}": each for key, each in kept.items()}
    if not at.is_mapping():
        return at.one_of({name: name for name in FORMATS}) or "", places
    for key, each in at.section({"alphabet", "min", "max"}, required=("alphabet",)).items():
        if key in places:
            each.fail(f"{key!r} is also set beside 'format': keep one of them")
        places[key] = each
    return "alphabet", places


def _check_making(form: Format, making: _Making) -> None:
    wrong = form.check_generator(making.generator, making.storage)
    if wrong is None:
        _check_domain(form, making)
    else:
        _misfit_at(form, making).fail(wrong)
    if making.storage is Storage.VAULTLESS and making.scope is Scope.NONE:
        making.scope_at.fail(
            "scope none needs storage vaulted: without the store a value has only one token"
        )


def _misfit_at(form: Format, making: _Making) -> Entry:
    """Returns which of generator and storage a misfit is blamed on."""
    if making.generator in form.generators and (
        making.storage not in form.storages
        or (making.generator is Generator.RANDOM and making.storage is Storage.VAULTLESS)
    ):
        return making.storage_at
    return making.generator_at


def _check_domain(form: Format, making: _Making) -> None:
    if making.generator is Generator.RANDOM:
        return
    domain = form.effective_domain(making.generator, making.storage)
    if domain < LEAST_DOMAIN:
        making.generator_at.fail(
            f"the shortest value leaves only {domain:,} tokens, and {making.generator} is safe "
            f"from {LEAST_DOMAIN:,} up: raise 'min', keep fewer characters, or use generator "
            "random with storage vaulted"
        )
    elif (
        making.generator is Generator.FF3_1
        and domain < LEAST_FF3_1_DOMAIN
        and SMALL_DOMAIN not in making.acknowledged
    ):
        making.generator_at.fail(
            f"the shortest value leaves {domain:,} tokens, and ff3-1 is used only from "
            f"{LEAST_FF3_1_DOMAIN:,} up: use ff1, raise 'min', or accept the risk with "
            f"acknowledge: {{{SMALL_DOMAIN}: true}}"
        )


def _read_views(entry: Entry | None) -> dict[str, View]:
    if entry is None:
        return {}
    views: dict[str, View] = {}
    for name, each in entry.named().items():
        if not NAME.fullmatch(name):
            each.fail(f"a view's name {NAME_RULE}")
        if name in RESERVED:
            each.fail(f"{name!r} is built in and cannot be defined: choose another name")
        views[name] = _read_view(each)
    return views


def _read_view(entry: Entry) -> View:
    before = entry.problems
    entries = entry.section(_VIEW_KEYS)
    first = _whole(entries.get("show_first"), 0) or 0
    last = _whole(entries.get("show_last"), 0) or 0
    mask = _text(entries.get("mask"))
    if mask is not None and not _is_mask(mask):
        entries["mask"].fail(
            "must be one visible character that is neither a letter nor a digit, "
            "so that a masked value is never taken for a real one"
        )
    if entry.problems == before and first + last == 0:
        entry.fail("shows nothing: set 'show_first' or 'show_last', or grant the view token")
    return View(first, last, mask if mask is not None else "*")


def _is_mask(mask: str) -> bool:
    return len(mask) == 1 and mask.isprintable() and not mask.isspace() and not mask.isalnum()


def _token_luhn(entry: Entry | None) -> TokenLuhn | None:
    return entry.one_of(_LUHN) if entry else None


def _whole(entry: Entry | None, least: int) -> int | None:
    return entry.whole(least, MOST_CHARACTERS) if entry else None


def _flag(entry: Entry | None) -> bool:
    return bool(entry.flag()) if entry else False


def _text(entry: Entry | None) -> str | None:
    return entry.text() if entry else None
