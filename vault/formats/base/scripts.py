"""Letters that tokens of names consist of, by script.

Each is a set that casing and normalisation leave alone and any font of the script has.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vault.crypto.alphabet import Alphabet
from vault.crypto.fpe.domain import MIN_DOMAIN
from vault.formats.base.random_only import LETTERS

__all__ = ["SCRIPTS", "fewest_letters", "script_of"]


def _range(first: str, last: str, but: str = "") -> str:
    return "".join([chr(code) for code in range(ord(first), ord(last) + 1) if chr(code) not in but])


# Greek without the final sigma, which is no small letter of its own; Hebrew without the final
# forms; Arabic without hamza carriers and the extension stroke; Kana without small letters.
_GREEK = Alphabet(_range("α", "ω", but="ς"))
_CYRILLIC = Alphabet(_range("а", "я", but="й"))
_HEBREW = Alphabet(_range("א", "ת", but="ךםןףץ"))
_ARABIC = Alphabet("ابتثجحخدذرزسشصضطظعغفقكلمنهوي")
_DEVANAGARI = Alphabet(_range("क", "ह", but="ऩऱऴ"))
_HIRAGANA = Alphabet(
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"
)
_KATAKANA = Alphabet(
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワ"
)
_HANGUL = Alphabet(_range("가", "힣"))
_HAN = Alphabet(_range("一", "龥"))

_BLOCKS = (
    (re.compile("[\u0370-\u03ff\u1f00-\u1fff]"), _GREEK),
    (re.compile("[\u0400-\u052f]"), _CYRILLIC),
    (re.compile("[\u0590-\u05ff]"), _HEBREW),
    (re.compile("[\u0600-\u06ff\u0750-\u077f]"), _ARABIC),
    (re.compile("[\u0900-\u097f]"), _DEVANAGARI),
    (re.compile("[\u3041-\u309f]"), _HIRAGANA),
    (re.compile("[\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f]"), _KATAKANA),
    (re.compile("[\u1100-\u11ff\uac00-\ud7af]"), _HANGUL),
    (re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"), _HAN),
)

SCRIPTS: tuple[Alphabet, ...] = (LETTERS, *[alphabet for _, alphabet in _BLOCKS])
"""Every alphabet that ``script_of`` may return."""


def script_of(core: str) -> Alphabet:
    """Returns the letters of the script of a name's first character; a-z for all others.

    And a-z for a name that mixes letters with and without case: its token must be able to
    show where the capitals were.
    """
    for block, alphabet in _BLOCKS:
        if block.match(core):
            has_case = alphabet.characters.upper() != alphabet.characters
            return alphabet if has_case or core.upper() == core else LETTERS
    return LETTERS


@lru_cache(maxsize=64)
def fewest_letters(alphabet: Alphabet) -> int:
    """Returns the fewest letters that make at least 1,000,000 tokens."""
    length = 1
    while alphabet.radix**length < MIN_DOMAIN:
        length += 1
    return length
