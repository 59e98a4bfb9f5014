"""Signatures of webhooks as Standard Webhooks has them: HMAC-SHA256, scheme ``v1``.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence

__all__ = ["read_signing_keys", "signature"]

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes of a key


def read_signing_keys(text: str) -> Sequence[bytes]:
    """Reads keys, one a line: ``whsec_`` and base64.

    Raises ValueError, which quotes nothing.
    """
    keys = [_key(line.strip()) for line in text.splitlines() if line.strip()]
    if not keys:
        raise ValueError("has no key")
    return keys


def signature(keys: Sequence[bytes], message: str, timestamp: int, body: bytes) -> str:
    """Returns the header ``webhook-signature``: one signature by each key.

    Args:
        message: the header ``webhook-id``.
        timestamp: the header ``webhook-timestamp``, in seconds since 1970.
    """
    signed = f"{message}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, signed, "sha256") for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _key(line: str) -> bytes:
    try:
        key = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not line.startswith(_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(
            f"has a line that is no key: {_PREFIX} and base64 of {_SHORTEST} to {_LONGEST} bytes"
        )
    return key
