"""Check digits besides Luhn's, and the ones that are wrong on purpose.

A format whose values pass their check recomputes it in the token: the check characters hold
nothing, and the cipher is called once. A deliberately wrong check is always the same step
from the right one, so that deciphering can take it back.
"""

from __future__ import annotations

from typing import Literal

from vault.formats.base.options import FormatOptionError

__all__ = [
    "TOKEN_CHECKS",
    "TokenCheck",
    "aba_check",
    "iban_check",
    "read_token_check",
    "vin_check",
]

TokenCheck = Literal["valid", "invalid", "any"]
TOKEN_CHECKS: tuple[TokenCheck, ...] = ("valid", "invalid", "any")

_ABA_WEIGHTS = (3, 7, 1, 3, 7, 1, 3, 7)
_IBAN_NUMBERS = {ord("a") + at: str(10 + at) for at in range(26)}
_VIN_DIGITS = str.maketrans("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789")
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_CHECKS = "0123456789X"


def read_token_check(option: TokenCheck | None, default: TokenCheck) -> TokenCheck:
    """Returns the option or its default. Raises FormatOptionError for what is neither."""
    check = option or default
    if check not in TOKEN_CHECKS:
        raise FormatOptionError("token_check", "token_check is valid, invalid or any")
    return check


def aba_check(digits: str, *, wrong: bool = False) -> str:
    """Returns the ninth digit for the first eight of a US routing number (ANSI X9.100-160).

    Args:
        wrong: return the next digit instead, which never passes.
    """
    total = sum([w * int(d) for w, d in zip(_ABA_WEIGHTS, digits, strict=True)])
    return str((wrong - total) % 10)


def iban_check(country: str, account: str, *, wrong: bool = False) -> str:
    """Returns the two check digits of an IBAN, 02 to 98 (ISO 13616-1, ISO/IEC 7064 MOD 97-10).

    Args:
        country: two letters a-z.
        account: digits and letters a-z.
        wrong: return the next pair instead, which never passes.
    """
    number = int(f"{account}{country}00".translate(_IBAN_NUMBERS))
    return f"{(96 - number % 97 + wrong) % 97 + 2:02d}"


def vin_check(number: str, *, wrong: bool = False) -> str:
    """Returns the ninth character of a vehicle identification number (49 CFR 565.15(c)).

    Args:
        number: 17 characters; the ninth does not count.
        wrong: return the next character instead, which never passes.
    """
    digits = number.translate(_VIN_DIGITS)
    total = sum([w * int(d) for w, d in zip(_VIN_WEIGHTS, digits, strict=True)])
    return _VIN_CHECKS[(total + wrong) % 11]
