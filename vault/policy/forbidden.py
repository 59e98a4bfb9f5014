"""Field names of data that must not be kept at all, tokenized or not.

PCI DSS 4.0.1, requirement 3.3.1: sensitive authentication data (full track data, card
verification codes, PINs and PIN blocks) is not retained after authorisation, even
encrypted. Only the name shows what a field holds, so the name is checked,
word by word: ``pin_block`` is refused, ``shipping`` and ``pinterest`` are not.
"""

from __future__ import annotations

import re

__all__ = ["forbidden_data"]

_VERIFICATION_CODE = "a card verification code"
_PIN = "a PIN"
_TRACK = "magnetic stripe (track) data"

_WORDS = {
    "cvv": _VERIFICATION_CODE,
    "cvc": _VERIFICATION_CODE,
    "pin": _PIN,
    "pins": _PIN,
    "pinblock": _PIN,
    "pvv": _PIN,
    "magstripe": _TRACK,
}
# These mean other things too, so they count only beside a word for a card.
_CARD = frozenset({"card", "cc", "credit", "debit"})
_CARD_WORDS = frozenset({"csc", "cid", "cvn", "cav"})
_CODE = re.compile(r"(security|verification|validation)_(code|value|number)")
_TRACKS = re.compile(r"(^|_)(track_?[123](_|$)|track_data(_|$)|mag(netic)?_stripe(_|$))")


def forbidden_data(name: str) -> str | None:
    """Returns what the field of that name would hold that nobody may keep, or None.

    Args:
        name: a field name, lower-case words joined by underscores.
    """
    words = [word.rstrip("0123456789") for word in name.split("_")]
    if any("cvv" in word or "cvc" in word for word in words):
        return _VERIFICATION_CODE
    if _TRACKS.search(name):
        return _TRACK
    if not _CARD.isdisjoint(words) and (not _CARD_WORDS.isdisjoint(words) or _CODE.search(name)):
        return _VERIFICATION_CODE
    return next((_WORDS[word] for word in words if word in _WORDS), None)
