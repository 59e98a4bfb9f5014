"""How a US taxpayer's number is written: nine digits, plain or 3-2-4."""

from __future__ import annotations

import re

from vault.errors import FormatError
from vault.formats.base.contract import Parsed, not_in_format, too_long, too_short
from vault.formats.base.layout import HYPHENS, SPACES, Layout, bare_layout

__all__ = ["ITIN_GROUPS", "LENGTH", "read_nine_digits"]

LENGTH = 9

ITIN_GROUPS = frozenset(
    str(group)
    for first, last in ((50, 65), (70, 88), (90, 92), (94, 99))
    for group in range(first, last + 1)
)
"""Middle two digits that the IRS issues ITINs with (Publication 1915)."""

_WRITTEN_LENGTH = 11
_SEPARATORS = f".{SPACES}{HYPHENS}"
_ALLOWED = re.compile(f"[0-9{_SEPARATORS}]*")
_LAYOUTS = {
    separator: Layout(LENGTH, ((3, separator), (5, separator))) for separator in _SEPARATORS
}


def read_nine_digits(text: str, what: str) -> Parsed:
    """Takes a number apart.

    Args:
        what: the number's name with its article, for messages.

    Raises:
        FormatError: not nine digits, or written in another way.
    """
    if len(text) == LENGTH and text.isdigit() and text.isascii():
        return Parsed(text, bare_layout(LENGTH))
    if len(text) == _WRITTEN_LENGTH:
        layout = _LAYOUTS.get(text[3])
        core = text[:3] + text[4:6] + text[7:]
        if layout and text[6] == text[3] and core.isdigit() and core.isascii():
            return Parsed(core, layout)
    raise _fault(text, what)


def _fault(text: str, what: str) -> FormatError:
    if not _ALLOWED.fullmatch(text):
        return not_in_format(f"{what} has only the digits 0-9, hyphens, dots and spaces")
    digits = len(text) - sum(map(text.count, _SEPARATORS))
    if digits < LENGTH:
        return too_short(f"{what} has nine digits, and the value has fewer")
    if digits > LENGTH:
        return too_long(f"{what} has nine digits, and the value has more")
    return not_in_format(
        f"{what} is written plain, or 3-2-4 with the same hyphen, dot or space twice"
    )
