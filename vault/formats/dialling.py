"""Where the prefixes of a dialled number end, and whether such a number can exist.

The prefixes decide what a token keeps, so they follow rules that do not change with a
release of the numbering tables: ITU-T E.164 country codes and a region's international
prefix. Whether a number can exist is judged by ``phonenumbers``.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

__all__ = ["REGIONS", "can_exist", "international_prefix", "kept_length"]

REGIONS: frozenset[str] = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""ISO 3166-1 alpha-2 codes of the regions with a numbering plan."""

# ITU-T E.164.D: no country code is the beginning of another.
_COUNTRY_CODE = re.compile(
    "[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9]{2}"
)


@lru_cache(maxsize=512)
def international_prefix(region: str) -> str:
    """Returns what is dialled in a region before a country code, if that is digits only."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    prefix = metadata.international_prefix if metadata is not None else None
    return prefix if prefix is not None and prefix.isdigit() else ""


def kept_length(number: str, prefix: str) -> int:
    """Returns how many leading characters of a number a token keeps.

    ``+`` or the international prefix with the country code or, in a national number, the
    leading zeros and the digit after them: the token then begins as its value does, and is
    read the same way.

    Args:
        number: ASCII digits, perhaps after a ``+``.
        prefix: of ``international_prefix``, or nothing.
    """
    if number.startswith("+"):
        return 1 + _country_code_length(number, 1)
    if prefix and number.startswith(prefix):
        length = _country_code_length(number, len(prefix))
        if length:
            return len(prefix) + length
    return len(number) - len(number.lstrip("0")) + 1


def _country_code_length(number: str, at: int) -> int:
    match = _COUNTRY_CODE.match(number, at)
    return match.end() - at if match else 0


def can_exist(number: str, region: str | None) -> bool:
    """Returns whether a number fits the numbering plan of its country.

    Args:
        number: ASCII digits, perhaps after a ``+``.
        region: where a number without a ``+`` is dialled.
    """
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(parsed)
