"""Keys that different spellings of one text share.

Too little is folded rather than too much: what is found equal here may be erased. So
compatibility forms and case are folded, and no letter is taken for another one (``ß`` is not
``ss``, ``é`` not ``e``).
"""

from __future__ import annotations

from unicodedata import normalize

__all__ = ["domain_spelling_key", "text_spelling_key"]

_ACE = "xn--"


def text_spelling_key(text: str) -> str:
    """Returns a text in one form of Unicode, in small letters."""
    if text.isascii():
        return text.lower()
    lower = normalize("NFKC", text).lower().replace("ς", "σ")
    return normalize("NFKC", lower)


def domain_spelling_key(domain: str) -> str:
    """Returns a domain's name in small letters, each label in Unicode."""
    folded = text_spelling_key(domain)
    if _ACE not in folded:
        return folded
    return text_spelling_key(".".join([_decoded(label) for label in folded.split(".")]))


def _decoded(label: str) -> str:
    if not label.startswith(_ACE):
        return label
    try:
        return label[len(_ACE) :].encode("ascii").decode("punycode")
    except UnicodeError:
        return label
