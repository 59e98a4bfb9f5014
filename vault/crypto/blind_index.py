"""The blind index: a keyed digest by which a known value finds its token."""

from __future__ import annotations

from collections.abc import Sequence

from vault.crypto.encoding import length_prefixed, prefixed_each, u32, utf8, utf8_each
from vault.crypto.kdf import Label, sub_key
from vault.crypto.prf import Prf
from vault.crypto.secret import Secret, check_root

__all__ = ["NORMALISER_VERSION", "IndexKey"]

# How formats reduce a value to the core that is indexed. A change of that rule needs a
# new number here, or one value would be found under two spellings by chance.
NORMALISER_VERSION = 1


class IndexKey(Secret):
    """The blind-index key of one field, apart from the field key and with its own version.

    HMAC-SHA-256 over the whole value's core, so that equality survives a rotation of
    the field key. Threads may share it.
    """

    __slots__ = ("_prf", "_version")

    def __init__(self, root: bytes, tenant: str, field: str, version: int) -> None:
        """Takes a 32-byte root. Raises ValueError."""
        check_root(root)
        label = Label.INDEX
        prefix = length_prefixed(
            label.value, u32(NORMALISER_VERSION), utf8(tenant), utf8(field), u32(version)
        )
        self._prf = Prf(sub_key(root, label, tenant, field, version), prefix)
        self._version = version

    def __repr__(self) -> str:
        return f"<IndexKey version={self._version}>"

    @property
    def version(self) -> int:
        """The index version."""
        return self._version

    def mac(self, scope: str, core: str) -> bytes:
        """Returns the 32-byte index of a value's core. Raises FormatError (lone surrogate)."""
        return self._prf.digest(length_prefixed(utf8(scope), utf8(core)))

    def macs(self, scope: str, cores: Sequence[str]) -> list[bytes]:
        """Returns the index of each core, in order, as ``mac``."""
        return self.macs_of_utf8(scope, utf8_each(cores))

    def macs_of_utf8(self, scope: str, cores: Sequence[bytes]) -> list[bytes]:
        """Returns the index of each core, which is in UTF-8, in order, as ``mac``."""
        return self._prf.digests(prefixed_each(length_prefixed(utf8(scope)), cores))
