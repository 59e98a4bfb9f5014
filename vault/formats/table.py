"""The table of formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from vault.formats.alphabet import PlainAlphabet
from vault.formats.card import Card
from vault.formats.contract import Format, FormatOptionError, FormatOptions
from vault.formats.email import Email
from vault.formats.person_name import PersonName
from vault.formats.us_ssn import UsSsn

__all__ = ["FORMATS", "build_format"]

FORMATS: Mapping[str, Callable[[FormatOptions], Format]] = {
    PlainAlphabet.name: PlainAlphabet,
    Card.name: Card,
    Email.name: Email,
    PersonName.name: PersonName,
    UsSsn.name: UsSsn,
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
