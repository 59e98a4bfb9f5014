"""Validates what callers pass to a cipher, before anything is enciphered.

Anything that is not clearly a key, a tweak or a radix is refused. A guess would silently give
another ciphertext than the standard's.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import SupportsIndex

from vault.crypto.fpe.domain import check_radix
from vault.crypto.secret import KeyBytes

__all__ = ["Buffer", "key_of", "radix_of", "tweak_of", "tweaks_of"]

Buffer = bytes | bytearray | memoryview
_PLAIN = {bytes}


def key_of(key: object) -> KeyBytes:
    """Copies a key. Raises TypeError for anything but bytes."""
    if not isinstance(key, Buffer):
        raise TypeError("an AES key must be bytes")
    return KeyBytes(key)


def radix_of(radix: SupportsIndex) -> int:
    """Returns a radix as a plain int: NumPy's would wrap round in powers.

    Raises:
        TypeError: not an integer.
        ValueError: outside 2..65536.
    """
    try:
        plain = index(radix)
    except TypeError:
        raise TypeError("the radix must be an integer") from None
    check_radix(plain)
    return plain


def tweak_of(tweak: object) -> bytes:
    """Returns the bytes of a tweak. Raises TypeError for anything but bytes."""
    if not isinstance(tweak, Buffer):
        raise TypeError("a tweak must be bytes")
    return bytes(tweak)


def tweaks_of(tweaks: object, rows: int) -> Sequence[bytes]:
    """Returns one tweak for all rows, or one for each.

    Raises:
        TypeError: neither bytes nor a sequence of them.
        ValueError: another number of tweaks.
    """
    if isinstance(tweaks, Buffer):
        return [bytes(tweaks)]
    if isinstance(tweaks, str) or not isinstance(tweaks, Sequence):
        raise TypeError("tweaks must be bytes, or a sequence of bytes")
    if len(tweaks) != rows:
        raise ValueError("there must be one tweak for all values or one for each")
    plain = set(map(type, tweaks)) <= _PLAIN
    return tweaks if plain else [tweak_of(tweak) for tweak in tweaks]
