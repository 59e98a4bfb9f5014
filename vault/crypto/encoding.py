"""The canonical encoding of everything that is authenticated or derived from.

Each part is preceded by its length in bytes as an unsigned 32-bit big-endian number,
so that ("a", "bc") and ("ab", "c") differ. Layouts are listed in docs/byte-layouts.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from vault.errors import FormatError

__all__ = ["data_key_context", "length_prefixed", "prefixed_each", "u32", "utf8", "utf8_each"]

_U32_END = 1 << 32
_LONE_SURROGATE = "the text is not valid Unicode: it holds a lone surrogate"
_DATA_KEY_LABEL = b"tokenvault/v1/data-key"


def u32(number: int) -> bytes:
    """Encodes 0..2^32-1 as 4 big-endian bytes. Raises ValueError outside of that."""
    if not 0 <= number < _U32_END:
        raise ValueError("a number must fit into 32 bits")
    return number.to_bytes(4, "big")


def utf8(text: str) -> bytes:
    """Encodes text. Raises FormatError for a lone surrogate."""
    # UnicodeEncodeError quotes the text: the new error must not even have it as its context.
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        pass
    raise FormatError(_LONE_SURROGATE)


def utf8_each(texts: Sequence[str]) -> list[bytes]:
    """Encodes texts. Raises FormatError for a lone surrogate."""
    try:
        return [text.encode("utf-8") for text in texts]
    except UnicodeEncodeError:
        pass
    raise FormatError(_LONE_SURROGATE)


def length_prefixed(*parts: bytes) -> bytes:
    """Joins parts, each behind its u32 length."""
    pieces = []
    for part in parts:
        pieces.append(len(part).to_bytes(4, "big"))
        pieces.append(part)
    return b"".join(pieces)


def prefixed_each(head: bytes, parts: Sequence[bytes]) -> list[bytes]:
    """Returns ``head`` followed by each part behind its u32 length: one text per part."""
    # Most parts of a batch have one length or few.
    heads = {size: head + size.to_bytes(4, "big") for size in set(map(len, parts))}
    return [heads[len(part)] + part for part in parts]


def data_key_context(tenant: str, field: str, purpose: str, version: int) -> bytes:
    """Returns the Transit derivation context that binds a data key to its place."""
    return length_prefixed(_DATA_KEY_LABEL, utf8(tenant), utf8(field), utf8(purpose), u32(version))
