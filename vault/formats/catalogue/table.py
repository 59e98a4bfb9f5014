"""The table of formats, and how one is made of what a policy says about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TypeVar

from vault.formats.base.contract import Format
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    Option,
    OptionValue,
    OptionValues,
)
from vault.formats.catalogue.address import Address
from vault.formats.catalogue.alphabet import AlphabetOptions, PlainAlphabet
from vault.formats.catalogue.card import Card, CardOptions
from vault.formats.catalogue.date import Date, DateOptions
from vault.formats.catalogue.document_number import DocumentNumber, DocumentNumberOptions
from vault.formats.catalogue.email import Email, EmailOptions
from vault.formats.catalogue.iban import Iban, IbanOptions
from vault.formats.catalogue.ipv4 import Ipv4, Ipv4Options
from vault.formats.catalogue.number import Decimal, Integer, NumberOptions
from vault.formats.catalogue.person_name import PersonName, PersonNameOptions
from vault.formats.catalogue.phone import Phone, PhoneOptions
from vault.formats.catalogue.postcode import Postcode, PostcodeOptions
from vault.formats.catalogue.surrogate import Surrogate, SurrogateOptions
from vault.formats.catalogue.template import Template, TemplateOptions
from vault.formats.catalogue.us_itin import UsItin
from vault.formats.catalogue.us_routing import UsRouting, UsRoutingOptions
from vault.formats.catalogue.us_ssn import UsSsn, UsSsnOptions
from vault.formats.catalogue.uuid import Uuid, UuidOptions
from vault.formats.catalogue.vin import Vin, VinOptions

__all__ = ["FORMATS", "OPTIONS", "CatalogueEntry", "build_format", "options_of"]

Options = TypeVar("Options", bound=FormatOptions)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A format: its options, and how it is made of them."""

    options: Mapping[str, Option]
    build: Callable[[OptionValues], Format]


def _entry(make: Callable[[Options], Format], options: type[Options]) -> CatalogueEntry:
    return CatalogueEntry(options.declared(), lambda values: make(options.from_values(values)))


FORMATS: Mapping[str, CatalogueEntry] = {
    PlainAlphabet.name: _entry(PlainAlphabet, AlphabetOptions),
    Template.name: _entry(Template, TemplateOptions),
    Card.name: _entry(Card, CardOptions),
    UsSsn.name: _entry(UsSsn, UsSsnOptions),
    Email.name: _entry(Email, EmailOptions),
    PersonName.name: _entry(PersonName, PersonNameOptions),
    Address.name: _entry(lambda _: Address(), FormatOptions),
    Phone.name: _entry(Phone, PhoneOptions),
    Date.name: _entry(Date, DateOptions),
    Integer.name: _entry(Integer, NumberOptions),
    Decimal.name: _entry(Decimal, NumberOptions),
    Uuid.name: _entry(Uuid, UuidOptions),
    Ipv4.name: _entry(Ipv4, Ipv4Options),
    Postcode.name: _entry(Postcode, PostcodeOptions),
    DocumentNumber.name: _entry(DocumentNumber, DocumentNumberOptions),
    Iban.name: _entry(Iban, IbanOptions),
    UsRouting.name: _entry(UsRouting, UsRoutingOptions),
    UsItin.name: _entry(lambda _: UsItin(), FormatOptions),
    Vin.name: _entry(Vin, VinOptions),
    Surrogate.name: _entry(Surrogate, SurrogateOptions),
}

OPTIONS: Mapping[str, Option] = MappingProxyType(
    {name: each for entry in FORMATS.values() for name, each in entry.options.items()}
)
"""Every option that some format has, by name."""


def options_of(name: str) -> Mapping[str, Option]:
    """Returns every option, as the named format reads it where it has it.

    The others are there so that a mistake in an option is found before the option is refused.
    """
    entry = FORMATS.get(name)
    return OPTIONS if entry is None else {**OPTIONS, **entry.options}


def build_format(name: str, /, **values: OptionValue) -> Format:
    """Makes the format of a field.

    Args:
        values: the options by name; None for one that is not set.

    Raises:
        FormatOptionError: unknown name (option ``format``), or an option that does not fit.
    """
    entry = FORMATS.get(name)
    if entry is None:
        near = get_close_matches(name, FORMATS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FORMATS)}"
        raise FormatOptionError("format", f"unknown format; {hint}")
    options = {option: value for option, value in values.items() if value is not None}
    for option in [each for each in options if each not in entry.options]:
        if not _is_default(option, options.pop(option)):
            raise _no_such_option(name, entry, option)
    return entry.build(options)


def _is_default(option: str, value: OptionValue) -> bool:
    """Returns whether a value says no more than leaving the option out, as ``keep: {first: 0}``."""
    return option in OPTIONS and value == OPTIONS[option].default


def _no_such_option(name: str, entry: CatalogueEntry, option: str) -> FormatOptionError:
    written = OPTIONS[option].key if option in OPTIONS else option
    keys = ", ".join(sorted([each.key for each in entry.options.values()])) or "no options"
    return FormatOptionError(option, f"format {name} has no option {written}; it has {keys}")
