"""Base64 in the one spelling that C2SP's formats have for some bytes."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

__all__ = ["decode", "encode"]


def encode(content: bytes) -> str:
    """Encodes as RFC 4648 section 4 does."""
    return b64encode(content).decode("ascii")


def decode(text: str) -> bytes:
    """Reads what ``encode`` wrote, and nothing else that stands for the same bytes.

    Raises ValueError.
    """
    try:
        content = b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        content = b""
    if not content or encode(content) != text:
        raise ValueError("not Base64")
    return content
