"""Alphabets as policies write them: a name, or the characters themselves."""

from __future__ import annotations

import re
from difflib import get_close_matches

from vault.crypto.alphabet import NAMED_ALPHABETS, Alphabet
from vault.formats.base.options import FormatOptionError

__all__ = ["read_alphabet"]

_NAME = re.compile(r"[a-z_]+")


def read_alphabet(text: str | None, option: str) -> Alphabet:
    """Returns an alphabet.

    Raises:
        FormatOptionError: of ``option``: nothing, a name that looks mistyped, or characters
            that make no alphabet.
    """
    if not text:
        raise FormatOptionError(
            option,
            f"name an alphabet ({', '.join(sorted(NAMED_ALPHABETS))}) or list its characters",
        )
    named = NAMED_ALPHABETS.get(text)
    if named is not None:
        return named
    near = get_close_matches(text, NAMED_ALPHABETS) or [
        name for name in NAMED_ALPHABETS if name.startswith(text)
    ]
    if near and _NAME.fullmatch(text):
        raise FormatOptionError(option, f"no alphabet has this name; did you mean {near[0]}?")
    try:
        return Alphabet(text)
    except ValueError as error:
        raise FormatOptionError(option, str(error)) from None
