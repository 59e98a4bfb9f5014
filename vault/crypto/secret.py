"""The base of every object that holds a key: it does not leave the process."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

__all__ = ["ROOT_LENGTH", "KeyBytes", "Secret", "check_root"]

ROOT_LENGTH = 32


class Secret:
    """Base of key holders: nothing of the key in ``repr``, no pickling, no copying."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a key cannot be pickled or copied")


class KeyBytes(bytearray):
    """A key's bytes, zeroed when the last reference to them goes.

    Not by an explicit call: a key wiped while a cipher still uses it would encipher under
    zeros.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self[:] = bytes(len(self))

    def __repr__(self) -> str:
        return "<KeyBytes>"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a key cannot be pickled or copied")


def check_root(root: bytes) -> None:
    """Refuses a root key that is not 32 bytes. Raises ValueError."""
    if len(root) != ROOT_LENGTH:
        raise ValueError("a root key must be 32 bytes")
