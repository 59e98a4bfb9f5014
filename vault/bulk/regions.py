"""The country that each row's phone number is of, where a column of the file names it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["by_region", "region_of"]

_ALIASES = {"UK": "GB"}  # reserved in ISO 3166-1 for the United Kingdom, and much used


def region_of(cell: str, value: str) -> str | None:
    """Returns a row's region as the service takes it, or None where the cell names none.

    A number in international form needs none: then it is empty, for the policy's.
    """
    # Imported late: files without such a column need no numbering plans.
    from phonenumbers import SUPPORTED_REGIONS

    code = cell.strip().upper()
    code = _ALIASES.get(code, code)
    if code in SUPPORTED_REGIONS:
        return code
    return "" if value.lstrip().startswith(("+", "\uff0b")) else None


def by_region(regions: Sequence[str]) -> dict[str, list[int]]:
    """Returns the indices of each region's items."""
    found: dict[str, list[int]] = {}
    for index, region in enumerate(regions):
        found.setdefault(region, []).append(index)
    return found
