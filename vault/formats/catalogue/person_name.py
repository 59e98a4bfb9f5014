"""Names of people, in any script: random letters in the name's separators and case.

The letters are a-z or, if the policy says so, those of the script the name begins in.

A value's core has a delimiter where a word begins, for the view ``initials``: a reader may move
a token's separators, and must not choose by that which letters are shown. A token's core has
no delimiters, and a value is written without them.

NFC and NFD spellings are two values: they are two sequences of code points, and each comes
back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vault.crypto.alphabet import Alphabet
from vault.formats.base.contract import (
    Parsed,
    RandomPlan,
    not_in_format,
    too_long,
    too_short,
)
from vault.formats.base.layout import (
    HYPHENS,
    SPACES,
    Layout,
    apply_layout,
    fold_case,
    split_separators,
)
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_one_of,
)
from vault.formats.base.random_only import LETTERS, RandomOnly
from vault.formats.base.scripts import SCRIPTS, fewest_letters, script_of
from vault.formats.base.spelling import text_spelling_key
from vault.model import Generator, Storage

__all__ = ["PersonName", "PersonNameOptions"]

NameScript = Literal["latin", "own"]
_SCRIPTS: tuple[NameScript, ...] = ("latin", "own")

_LONGEST = 256
_LONGEST_TOKEN = 2 * _LONGEST
# Two letters leave 676 tokens; five are the fewest with a domain of at least 10^6.
_SHORTEST_TOKEN = 5
# Besides spaces and hyphens what stands between the parts of names, or around one.
_GAP = re.compile(rf"""[{SPACES}\u3000'‘’.,·・‧"“”„«»()/&{HYPHENS}]+""")
# Begins a word in a core: refused in values, and in no token.
_WORD_DELIMITER = "\x1f"
# Controls, line and paragraph separators, and lone surrogates, which UTF-8 cannot carry.
_REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PersonNameOptions(FormatOptions):
    """What a policy may say about ``person_name``.

    Attributes:
        script: whether the token is in Latin letters or in the script of the name.
    """

    script: NameScript | None = option(read_one_of(*_SCRIPTS))


class PersonName(RandomOnly):
    """The format ``person_name``."""

    name = "person_name"
    unbounded: Literal[True] = True
    shortest_token = _SHORTEST_TOKEN

    def __init__(self, options: PersonNameOptions) -> None:
        if options.script is not None and options.script not in _SCRIPTS:
            raise FormatOptionError("script", "script is latin or own")
        self._own = options.script == "own"
        self._alphabets = SCRIPTS if self._own else (LETTERS,)

    def token_spec(self) -> Mapping[str, str | int | bool]:
        return {"rules": 2, "script": "own"} if self._own else {"rules": 2}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        """Counted in the script with the fewest tokens."""
        return min([int(each.radix ** fewest_letters(each)) for each in self._alphabets])

    def parse(self, text: str) -> Parsed:
        if len(text) > _LONGEST:
            raise too_long(f"the name has more than {_LONGEST} characters")
        if _REFUSED.search(text):
            raise not_in_format("a name has no control characters, line breaks or lone surrogates")
        parsed = _read(text)
        return Parsed(_delimited(parsed), parsed.layout)

    def parse_token(self, text: str) -> Parsed:
        if len(text) > _LONGEST_TOKEN:
            raise not_in_format("no name token is as long")
        parsed = _read(text)
        # Whoever writes a token in small letters may end its words in final sigmas.
        core = parsed.core.replace("ς", "σ")
        if not any(_is_over(core, each) for each in self._alphabets):
            raise not_in_format("a name token's letters are a-z, or of one other script")
        return Parsed(core, parsed.layout)

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core.replace(_WORD_DELIMITER, ""), layout)

    def words(self, core: str) -> Sequence[str]:
        return core.split(_WORD_DELIMITER)

    def spelling_key(self, core: str) -> str:
        """Where words begin is a matter of spelling here."""
        return text_spelling_key(core.replace(_WORD_DELIMITER, ""))

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        alphabet = script_of(core) if self._own else LETTERS
        letters = core.replace(_WORD_DELIMITER, "")
        length = max(len(letters), fewest_letters(alphabet) + attempt)
        # The value's own letters make its own core: no token, as a token is not its value.
        return RandomPlan(alphabet, length, lambda made: core if made == letters else made)


def _is_over(core: str, alphabet: Alphabet) -> bool:
    return all(character in alphabet for character in core)


def _delimited(parsed: Parsed) -> str:
    """Returns the core with a delimiter at each gap within it."""
    core, layout = parsed.core, parsed.layout
    inner = [at for at, _ in layout.gaps if 0 < at < len(core)]
    if not inner:
        return core
    words = zip([0, *inner], [*inner, len(core)], strict=True)
    return _WORD_DELIMITER.join([core[start:end] for start, end in words])


def _read(text: str) -> Parsed:
    letters, gaps = split_separators(text, _GAP)
    if not letters:
        raise too_short("the name has no character besides separators")
    core, capitals = fold_case(letters)
    return Parsed(core, Layout(len(core), gaps, capitals))
