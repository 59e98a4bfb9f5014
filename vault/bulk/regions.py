"""The country that each row's phone number is of, where a column of the file names it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["country_code", "group_by_region", "parse_region"]

# Those that phonenumbers knows, which the service reads numbers with: it and its numbering
# plans need not be where files are converted.
_CODES = """
AC AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS
BT BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG
EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT
HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR
LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF
NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD
SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TA TC TD TG TH TJ TK TL TM TN TO TR TT TV TW
TZ UA UG US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""
_REGIONS = frozenset(_CODES.split())
_ALIASES = {"UK": "GB"}  # reserved in ISO 3166-1 for the United Kingdom, and much used


def country_code(text: str) -> str | None:
    """Returns the region that a text names, as the service takes it, or None."""
    code = text.strip().upper()
    code = _ALIASES.get(code, code)
    return code if code in _REGIONS else None


def parse_region(cell: str, value: str) -> str | None:
    """Returns a row's region as the service takes it, or None where the cell names none.

    A number in international form needs none: then it is empty, for the policy's.
    """
    code = country_code(cell)
    if code is not None:
        return code
    return "" if value.lstrip().startswith(("+", "\uff0b")) else None


def group_by_region(regions: Sequence[str]) -> dict[str, list[int]]:
    """Returns the indices of each region's items."""
    found: dict[str, list[int]] = {}
    for index, region in enumerate(regions):
        found.setdefault(region, []).append(index)
    return found
