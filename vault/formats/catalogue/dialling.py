"""Prefixes of dialled numbers, and whether such a number is valid.

The prefixes decide what a token keeps, so they follow rules that do not change with a
release of the numbering tables: ITU-T E.164 country codes and a region's international
prefix. Whether a number is valid is up to ``phonenumbers``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import phonenumbers

__all__ = [
    "REGIONS",
    "country_length",
    "has_possible_length",
    "international_prefix",
    "is_valid_number",
    "kept_length",
    "to_e164",
]

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


def country_length(number: str, prefix: str) -> int:
    """Returns how long ``+`` or the international prefix and the country code are.

    0 in a national number. Arguments as of ``kept_length``.
    """
    before = 1 if number.startswith("+") else len(prefix)
    if not before or not number.startswith(("+", prefix)):
        return 0
    code = _country_code_length(number, before)
    return before + code if code else 0


def kept_length(number: str, prefix: str) -> int:
    """Returns how many leading characters of a number a token keeps.

    ``+`` or the international prefix with the country code or, in a national number, the
    leading zeros and the digit after them, and what distinguishes it from an international one.
    It depends on what is kept alone: the token keeps as many characters, whatever follows.

    Args:
        number: ASCII digits, perhaps after a ``+``.
        prefix: of ``international_prefix``, or nothing.
    """
    abroad = country_length(number, prefix)
    if abroad:
        return abroad
    if number.startswith("+"):
        return _distinguishing_length(number, "+")
    zeros = len(number) - len(number.lstrip("0"))
    return max(zeros + 1, _distinguishing_length(number, prefix) if prefix else 0)


def _distinguishing_length(number: str, prefix: str) -> int:
    """Returns how many characters show that no country code follows the prefix."""
    common = 0
    while common < len(prefix) and number[common : common + 1] == prefix[common]:
        common += 1
    if common < len(prefix):
        return common + 1
    # No country code begins with 0. Any other digit may begin one that the number ends in.
    return common + 1 if number[common : common + 1] == "0" else len(number)


def _country_code_length(number: str, at: int) -> int:
    match = _COUNTRY_CODE.match(number, at)
    return match.end() - at if match else 0


def is_valid_number(number: str, region: str | None) -> bool:
    """Returns whether a number fits the numbering plan of its country.

    Args:
        number: ASCII digits, perhaps after a ``+``.
        region: where a number without a ``+`` is dialled.
    """
    if _fits_numbering_plan(number, region):
        return True
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(parsed)


def to_e164(number: str, region: str | None) -> str | None:
    """Returns a number as it is dialled from everywhere, or None if that is unknown.

    Arguments as of ``is_valid_number``.
    """
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def has_possible_length(number: str, region: str | None) -> bool:
    """Returns whether numbers of the country have this length.

    Arguments as of ``is_valid_number``.
    """
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    length = phonenumbers.is_possible_number_with_reason(parsed)
    return bool(length == phonenumbers.ValidationResult.IS_POSSIBLE)


def _fits_numbering_plan(number: str, region: str | None) -> bool:
    """Returns whether a number certainly exists; parsing it takes sixty times as long."""
    if number.startswith("+"):
        end = 1 + _country_code_length(number, 1)
        plan = _plan_of_code(int(number[1:end])) if end > 1 else None
        return plan is not None and plan.fullmatch(number, end) is not None
    if region is None:
        return False
    plan, trunk = _plan_of_region(region)
    prefix = international_prefix(region)
    if plan is None or not prefix or number.startswith(prefix):
        return False
    return plan.fullmatch(number, len(trunk) if number.startswith(trunk) else 0) is not None


@lru_cache(maxsize=512)
def _plan_of_code(code: int) -> re.Pattern[str] | None:
    """Returns what the national numbers of a country code look like."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    plans = [
        phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        for region in regions
    ]
    return _any_of([plan for plan in plans if plan is not None])


@lru_cache(maxsize=512)
def _plan_of_region(region: str) -> tuple[re.Pattern[str] | None, str]:
    """Returns what a region's national numbers look like, and their trunk prefix if fixed."""
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None:
        return None, ""
    trunk = plan.national_prefix or ""
    if plan.national_prefix_for_parsing not in {None, trunk}:
        return None, ""
    return _any_of([plan]), trunk


def _any_of(plans: Sequence[phonenumbers.PhoneMetadata]) -> re.Pattern[str] | None:
    kinds = []
    for plan in plans:
        whole = plan.general_desc.national_number_pattern if plan.general_desc else None
        ranges = [
            desc.national_number_pattern
            for desc in (
                plan.fixed_line,
                plan.mobile,
                plan.toll_free,
                plan.premium_rate,
                plan.shared_cost,
                plan.voip,
                plan.personal_number,
                plan.pager,
                plan.uan,
                plan.voicemail,
            )
            if desc is not None and desc.national_number_pattern
        ]
        if whole and ranges:
            kinds.append(f"(?={whole}$)(?:{'|'.join(ranges)})")
    return re.compile("|".join(kinds), re.ASCII) if kinds else None
