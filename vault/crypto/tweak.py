"""Tweaks: derived from what they must depend on, never a caller's raw bytes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from vault.crypto.encoding import length_prefixed, u32, utf8
from vault.crypto.kdf import Label, sub_key
from vault.crypto.prf import Prf
from vault.crypto.secret import Secret
from vault.model import Generator

__all__ = [
    "FF1_TWEAK_LENGTH",
    "NEWEST_TWEAK_VERSION",
    "TWEAK_VERSIONS",
    "TweakInput",
    "TweakKey",
]

# 11 bytes is the longest that leaves a 16-digit value with one block per round.
FF1_TWEAK_LENGTH = 11

TWEAK_VERSIONS: Mapping[Generator, tuple[int, ...]] = MappingProxyType(
    {Generator.FF1: (1,), Generator.FF3_1: (2, 1), Generator.RANDOM: (1,)}
)
"""Versions of what key and tweak are derived from, the one for new fields first.

Version 2 of FF3-1 adds the length, which its rounds, unlike FF1's, do not hold.
"""

NEWEST_TWEAK_VERSION = max(max(versions) for versions in TWEAK_VERSIONS.values())
"""The highest version of any generator: what this code can read."""


class TweakInput(NamedTuple):
    """What a value's tweak depends on besides tenant, field and key version.

    Attributes:
        scope: the scope within which a value keeps its token.
        kept: the characters of the value that stay in its token.
        counter: 0, or the number of the retry after a collision.
    """

    scope: str
    kept: str
    counter: int


class TweakKey(Secret):
    """Derives tweak digests: HMAC-SHA-256 over length-prefixed inputs."""

    __slots__ = ("_prf",)

    def __init__(self, root: bytes, tenant: str, field: str, version: int) -> None:
        key = sub_key(root, Label.TWEAK, tenant, field, version)
        prefix = length_prefixed(Label.TWEAK.value, utf8(tenant), utf8(field), u32(version))
        self._prf = Prf(key, prefix)

    def digest(self, tweak: TweakInput) -> bytes:
        """Returns 32 bytes; FF1 and FF3-1 take their tweaks from its beginning."""
        scope, kept, counter = tweak
        return self._prf.digest(length_prefixed(utf8(scope), utf8(kept), u32(counter)))
