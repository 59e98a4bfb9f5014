"""UUIDs as text, in the one spelling that we write."""

from __future__ import annotations

from uuid import UUID

__all__ = ["read_uuid"]


def read_uuid(text: str) -> UUID | None:
    """Reads a UUID in RFC 9562's form, in lower case; None where the text is none.

    Python's own reader also takes braces, a URN and no hyphens: one id would have many names.
    """
    try:
        read = UUID(text)
    except ValueError:
        return None
    return read if str(read) == text else None
