"""The table of formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from vault.formats.base.contract import Format, FormatOptionError, FormatOptions
from vault.formats.catalogue.address import Address
from vault.formats.catalogue.alphabet import PlainAlphabet
from vault.formats.catalogue.card import Card
from vault.formats.catalogue.date import Date
from vault.formats.catalogue.document_number import DocumentNumber
from vault.formats.catalogue.email import Email
from vault.formats.catalogue.iban import Iban
from vault.formats.catalogue.ipv4 import Ipv4
from vault.formats.catalogue.number import Decimal, Integer
from vault.formats.catalogue.person_name import PersonName
from vault.formats.catalogue.phone import Phone
from vault.formats.catalogue.postcode import Postcode
from vault.formats.catalogue.surrogate import Surrogate
from vault.formats.catalogue.template import Template
from vault.formats.catalogue.us_itin import UsItin
from vault.formats.catalogue.us_routing import UsRouting
from vault.formats.catalogue.us_ssn import UsSsn
from vault.formats.catalogue.uuid import Uuid
from vault.formats.catalogue.vin import Vin

__all__ = ["FORMATS", "build_format"]

FORMATS: Mapping[str, Callable[[FormatOptions], Format]] = {
    PlainAlphabet.name: PlainAlphabet,
    Template.name: Template,
    Card.name: Card,
    UsSsn.name: UsSsn,
    Email.name: Email,
    PersonName.name: PersonName,
    Address.name: Address,
    Phone.name: Phone,
    Date.name: Date,
    Integer.name: Integer,
    Decimal.name: Decimal,
    Uuid.name: Uuid,
    Ipv4.name: Ipv4,
    Postcode.name: Postcode,
    DocumentNumber.name: DocumentNumber,
    Iban.name: Iban,
    UsRouting.name: UsRouting,
    UsItin.name: UsItin,
    Vin.name: Vin,
    Surrogate.name: Surrogate,
}


def build_format(name: str, options: FormatOptions) -> Format:
    """Makes the format of a field.

    Raises:
        FormatOptionError: unknown name (option ``format``), or an option that does not fit.
    """
    build = FORMATS.get(name)
    if build is None:
        near = get_close_matches(name, FORMATS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FORMATS)}"
        raise FormatOptionError("format", f"unknown format; {hint}")
    return build(options)
