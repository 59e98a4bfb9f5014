"""Custom formats: a pattern whose groups are enciphered and whose rest stays as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vault.crypto.fpe.domain import ff3_1_max_length
from vault.formats.base.contract import (
    Parsed,
    Plan,
    RandomPlan,
    check_random_storage,
    not_in_format,
    too_long,
    too_short,
)
from vault.formats.base.layout import Layout, apply_layout, bare_layout
from vault.formats.base.options import (
    FormatOptionError,
    FormatOptions,
    option,
    read_text,
)
from vault.formats.base.random_choice import random_characters_plan
from vault.formats.catalogue.pattern import Pattern, PatternGroup, read_pattern
from vault.model import Generator, Storage

__all__ = ["Template", "TemplateOptions"]


@dataclass(frozen=True, slots=True)
class TemplateOptions(FormatOptions):
    """What a policy may say about ``template``.

    Attributes:
        template: the pattern, see ``vault.formats.catalogue.pattern``.
    """

    template: str | None = option(read_text)


class Template:
    """The format ``template``. Groups of several alphabets take random tokens only."""

    name = "template"
    generators = frozenset(Generator)
    storages = frozenset(Storage)

    def __init__(self, options: TemplateOptions) -> None:
        if not options.template:
            raise FormatOptionError("template", "write the template, as AC-{serial:digits:8}")
        self._pattern: Pattern = read_pattern(options.template)
        self._secret = [group for group in self._pattern.groups if not group.kept]
        self._one = self._secret[0].alphabet
        self.parts = tuple([group.name for group in self._pattern.groups])
        self._places = {
            at: piece.alphabet
            for at, piece in enumerate(self._pattern.pieces)
            if isinstance(piece, PatternGroup) and not piece.kept
        }

    def token_spec(self) -> Mapping[str, str | int | bool]:
        """Lengths and optional characters decide no core and no token."""
        pieces = [
            f"{'kept' if piece.kept else 'group'} {piece.alphabet.digest}"
            if isinstance(piece, PatternGroup)
            else f"text {piece}"
            for piece in self._pattern.pieces
        ]
        return {"rules": 1, "template": "\n".join(pieces)}

    def effective_domain(self, generator: Generator, storage: Storage) -> int:
        size = 1
        for group in self._secret:
            size *= group.alphabet.radix**group.low
        return size

    def check_generator(self, generator: Generator, storage: Storage) -> str | None:
        if generator is not Generator.RANDOM:
            if any(group.alphabet != self._one for group in self._secret):
                return (
                    f"{generator.value} enciphers groups of one alphabet: give all groups the "
                    "same, keep some, or use generator random"
                )
            longest = sum([group.high for group in self._secret])
            most = ff3_1_max_length(self._one.radix)
            if generator is Generator.FF3_1 and longest > most:
                return (
                    f"ff3-1 enciphers at most {most} characters of this alphabet, and the "
                    f"template allows {longest}; shorten its groups, or use ff1"
                )
        return check_random_storage(generator, storage)

    @property
    def first_characters(self) -> str:
        first = self._pattern.pieces[0]
        is_tokenized = isinstance(first, PatternGroup) and not first.kept
        return first.alphabet.characters if is_tokenized and isinstance(first, PatternGroup) else ""

    def parse(self, text: str) -> Parsed:
        if not text:
            raise too_short("the value is empty")
        if len(text) > self._pattern.longest:
            raise too_long(f"the value has more than {self._pattern.longest} characters")
        match = self._pattern.text.fullmatch(text)
        if match is None and len(text) < self._pattern.shortest:
            raise too_short(f"the value has fewer than {self._pattern.shortest} characters")
        if match is None:
            raise not_in_format("the value does not look as the field's template says")
        if not any(match.groups("")):
            return Parsed(text, bare_layout(len(text)))
        return _without_optionals(text, match)

    def parse_token(self, text: str) -> Parsed:
        return self.parse(text)

    def render(self, core: str, layout: Layout) -> str:
        return apply_layout(core, layout)

    def spans(self, core: str) -> Mapping[str, tuple[int, int]]:
        match = self._pattern.core.fullmatch(core)
        if match is None:
            return {}
        return {
            piece.name: match.span(number)
            for number, piece in enumerate(self._pattern.pieces, start=1)
            if isinstance(piece, PatternGroup)
        }

    def token_plan(self, core: str, storage: Storage) -> Plan:
        texts = self._texts(core)
        text = "".join([texts[at] for at in self._places])
        return Plan(self._one, text, self._kept(texts), self._builder(texts))

    def value_plan(self, token_core: str) -> Plan:
        return self.token_plan(token_core, Storage.VAULTLESS)

    def random_plan(self, core: str, attempt: int) -> RandomPlan:
        texts = self._texts(core)
        choices = [alphabet.characters for at, alphabet in self._places.items() for _ in texts[at]]
        return random_characters_plan(choices, self._builder(texts))

    def _texts(self, core: str) -> Sequence[str]:
        match = self._pattern.core.fullmatch(core)
        if match is None:
            raise ValueError("not a core of this template")
        return match.groups()

    def _kept(self, texts: Sequence[str]) -> str:
        """Returns what stays, group lengths included: 1-23 and 12-3 encipher the same text."""
        lengths = ",".join([str(len(texts[at])) for at in self._places])
        stays = "\n".join([text for at, text in enumerate(texts) if at not in self._places])
        return f"{lengths}\n{stays}"

    def _builder(self, texts: Sequence[str]) -> Callable[[str], str]:
        def build(made: str) -> str:
            pieces = list(texts)
            start = 0
            for at in self._places:
                end = start + len(texts[at])
                pieces[at] = made[start:end]
                start = end
            return "".join(pieces)

        return build


def _without_optionals(text: str, match: re.Match[str]) -> Parsed:
    pieces: list[str] = []
    gaps: list[tuple[int, str]] = []
    start = length = 0
    for number, optional in enumerate(match.groups(""), start=1):
        if not optional:
            continue
        at = match.start(number)
        pieces.append(text[start:at])
        length += at - start
        gaps.append((length, optional))
        start = match.end(number)
    core = "".join([*pieces, text[start:]])
    return Parsed(core, Layout(len(core), tuple(gaps)))
