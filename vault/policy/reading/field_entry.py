"""Reads the ``fields`` section: what each field is, and what it may not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from vault.formats import Format
from vault.model import Generator, Scope, Storage
from vault.policy.forbidden import forbidden_data
from vault.policy.model import SMALL_DOMAIN, Field
from vault.policy.names import NAME, NAME_RULE
from vault.policy.reading.duration_entry import read_duration
from vault.policy.reading.entry import Entry
from vault.policy.reading.format_entry import OPTION_KEYS, read_format
from vault.policy.reading.reserved_names import Place, reserved_names
from vault.policy.reading.view_entry import read_views

__all__ = ["MIN_EFFECTIVE_DOMAIN", "MIN_FF3_1_EFFECTIVE_DOMAIN", "NAME", "NAME_RULE", "read_fields"]

MIN_EFFECTIVE_DOMAIN = 1_000_000
"""NIST SP 800-38G Rev. 1 draft: radix^minlen is at least 1,000,000 for FF1 and FF3-1."""

MIN_FF3_1_EFFECTIVE_DOMAIN = 10**10
"""Under this, FF3-1 needs an acknowledgement in the policy."""

_LONGEST_TTL_DAYS = 36_500
_KEYS = OPTION_KEYS | {
    "format",
    "generator",
    "storage",
    "scope",
    "ttl",
    "views",
    "mask",
    "acknowledge",
}


def read_fields(entry: Entry) -> dict[str, Field | None]:
    """Returns every field by name; None for one that has a problem (recorded)."""
    before = entry.problems
    named = entry.mapping()
    if not named and entry.problems == before:
        entry.fail("has no field: add at least one")
    return {name: _read_field(name, each) for name, each in named.items()}


@dataclass(frozen=True, slots=True)
class _TokenSettings:
    """How a field's tokens are made, and where the file says so."""

    generator: Generator
    storage: Storage
    scope: Scope
    acknowledged: frozenset[str]
    ttl: timedelta | None
    generator_at: Entry
    storage_at: Entry
    scope_at: Entry


def _read_field(name: str, entry: Entry) -> Field | None:
    before = entry.problems
    _check_name(name, entry)
    entries = entry.section(
        _KEYS, required=("format", "generator"), reserved=reserved_names(Place.FIELD)
    )
    format_name, form = read_format(entries)
    views = read_views(entries.get("views"), form, entries.get("mask"))
    settings = _read_token_settings(entry, entries)
    if form is not None and settings is not None:
        _check_token_settings(form, settings)
    if entry.problems > before or form is None or settings is None:
        return None
    return Field(
        name=name,
        format=form,
        format_name=format_name,
        generator=settings.generator,
        storage=settings.storage,
        scope=settings.scope,
        views=MappingProxyType(views),
        acknowledged=settings.acknowledged,
        ttl=settings.ttl,
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


def _read_token_settings(entry: Entry, entries: Mapping[str, Entry]) -> _TokenSettings | None:
    generator_at = entries.get("generator")
    generator = generator_at.choice(Generator) if generator_at else None
    storage_at, scope_at = entries.get("storage"), entries.get("scope")
    storage = storage_at.choice(Storage) if storage_at else Storage.VAULTED
    scope = (
        scope_at.choice(Scope, reserved=reserved_names(Place.SCOPE)) if scope_at else Scope.FIELD
    )
    acknowledged = _read_acknowledged(entries.get("acknowledge"))
    ttl = _read_ttl(entries.get("ttl"), storage)
    if generator_at is None or generator is None or storage is None or scope is None:
        return None
    return _TokenSettings(
        generator,
        storage,
        scope,
        acknowledged,
        ttl,
        generator_at,
        storage_at or entry,
        scope_at or entry,
    )


def _read_acknowledged(entry: Entry | None) -> frozenset[str]:
    if entry is None:
        return frozenset()
    flags = entry.section({SMALL_DOMAIN})
    return frozenset(name for name, each in flags.items() if each.boolean())


def _read_ttl(entry: Entry | None, storage: Storage | None) -> timedelta | None:
    if entry is None:
        return None
    if storage is Storage.VAULTLESS:
        entry.fail("a vaultless field stores no tokens that could expire: use storage vaulted")
        return None
    seconds = read_duration(entry, _LONGEST_TTL_DAYS, "365d")
    return None if seconds is None else timedelta(seconds=seconds)


def _check_token_settings(form: Format, settings: _TokenSettings) -> None:
    wrong = form.check_generator(settings.generator, settings.storage)
    if wrong is None:
        _check_domain(form, settings)
    else:
        _misfit_at(form, settings).fail(wrong)
    if settings.storage is Storage.VAULTLESS and settings.scope is Scope.NONE:
        settings.scope_at.fail(
            "scope none needs storage vaulted: without the store a value has only one token"
        )


def _misfit_at(form: Format, settings: _TokenSettings) -> Entry:
    """Returns which of generator and storage a misfit is blamed on."""
    if settings.generator in form.generators and (
        settings.storage not in form.storages
        or (settings.generator is Generator.RANDOM and settings.storage is Storage.VAULTLESS)
    ):
        return settings.storage_at
    return settings.generator_at


def _check_domain(form: Format, settings: _TokenSettings) -> None:
    if settings.generator is Generator.RANDOM:
        return
    domain = form.effective_domain(settings.generator, settings.storage)
    if domain < MIN_EFFECTIVE_DOMAIN:
        settings.generator_at.fail(
            f"the shortest value leaves only {domain:,} tokens, and {settings.generator} is safe "
            f"from {MIN_EFFECTIVE_DOMAIN:,} up: have the format leave more (docs/formats.md says "
            "by what), or use generator random with storage vaulted"
        )
    elif (
        settings.generator is Generator.FF3_1
        and domain < MIN_FF3_1_EFFECTIVE_DOMAIN
        and SMALL_DOMAIN not in settings.acknowledged
    ):
        settings.generator_at.fail(
            f"the shortest value leaves {domain:,} tokens, and ff3-1 is used only from "
            f"{MIN_FF3_1_EFFECTIVE_DOMAIN:,} up: use ff1, have the format leave more, or accept "
            f"the risk with acknowledge: {{{SMALL_DOMAIN}: true}}"
        )
