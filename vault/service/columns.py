"""A column on its way through a use case: slots of distinct cores, and failures by index.

Equal cores share a slot, so that a value that repeats in a batch is worked on once; with
scope ``none`` every item has a slot of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from vault.errors import FormatError, Reason
from vault.formats import Format, Layout, Parsed
from vault.formats.base.invisible_characters import invisible_character_hint
from vault.formats.base.layout import bare_layout
from vault.model import Failure
from vault.policy.model import Field
from vault.service.deadline import in_time

__all__ = [
    "NOT_LIVE",
    "NO_TOKEN",
    "Answers",
    "ParsedColumn",
    "parse_column",
    "parse_tokens",
    "with_view_layouts",
]

# One failure, word for word, for every string that is not a live token of the field:
# of another form, of another field or tenant, or never issued.
NO_TOKEN = Failure(Reason.TOKEN_NOT_FOUND, "no such token in this field")
NOT_LIVE = Failure(Reason.TOKEN_NOT_FOUND, "the value has no live token in this field")
# A refused item is read up to four times to say why. Who sends thousands learns it from the first.
_MAX_HINTS = 200
_ALREADY = "it has the form of this field's tokens: was it tokenized before?"

T = TypeVar("T")
Answers = Sequence[str | Failure]


@dataclass(frozen=True, slots=True)
class ParsedColumn:
    """A parsed column.

    Attributes:
        size: number of items in the request.
        cores: one core per slot.
        items: per parsed item its index, slot and layout.
        failures: why an item did not parse, by index.
    """

    size: int
    cores: list[str] = field(repr=False)
    items: list[tuple[int, int, Layout]] = field(repr=False)
    failures: dict[int, Failure]

    def render(
        self, policy_format: Format, answers: Answers
    ) -> tuple[list[str], dict[int, Failure]]:
        """Renders one answer per slot into the request's order, each in its item's layout."""
        rendered = [""] * self.size
        failures = dict(self.failures)
        render = policy_format.render
        for index, slot, layout in self.items:
            core = answers[slot]
            if isinstance(core, Failure):
                failures[index] = core
            else:
                rendered[index] = render(core, layout)
        return rendered, dict(sorted(failures.items()))

    def in_request_order(
        self, answers: Sequence[T | Failure]
    ) -> tuple[list[T | None], dict[int, Failure]]:
        """Puts one answer per slot into the request's order, None where it failed."""
        ordered: list[T | None] = [None] * self.size
        failures = dict(self.failures)
        for index, slot, _ in self.items:
            answer = answers[slot]
            if isinstance(answer, Failure):
                failures[index] = answer
            else:
                ordered[index] = answer
        return ordered, dict(sorted(failures.items()))


def parse_column(
    texts: Sequence[str],
    parse: Callable[[str], Parsed],
    *,
    parse_token: Callable[[str], Parsed] | None = None,
    malformed: Failure | None = None,
    share: bool = True,
    deadline: float | None = None,
) -> ParsedColumn:
    """Parses a column item by item.

    Args:
        parse_token: accepts a refused value that is a token, for the hint.
        malformed: the one failure for whatever does not parse (tokens); None keeps the
            parser's own reason (values).
        share: whether equal cores share a slot.
        deadline: ``time.monotonic()`` at which the answer is worthless.

    Raises:
        Unavailable: DEADLINE_EXCEEDED.
    """
    slots: dict[str, int] = {}
    cores: list[str] = []
    items: list[tuple[int, int, Layout]] = []
    failures: dict[int, Failure] = {}
    for index, text in enumerate(in_time(texts, deadline)):
        try:
            item = parse(text)
        except FormatError as error:
            if malformed is None and len(failures) < _MAX_HINTS:
                failures[index] = _explained(error, text, parse, parse_token)
            else:
                failures[index] = malformed or Failure.from_error(error)
            continue
        slot = slots.setdefault(item.core, len(cores)) if share else len(cores)
        if slot == len(cores):
            cores.append(item.core)
        items.append((index, slot, item.layout))
    return ParsedColumn(len(texts), cores, items, failures)


def parse_tokens(
    tokens: Sequence[str], token_format: Format, deadline: float | None
) -> ParsedColumn:
    """Parses a column of tokens. Raises Unavailable (DEADLINE_EXCEEDED)."""
    return parse_column(tokens, token_format.parse_token, malformed=NO_TOKEN, deadline=deadline)


def _explained(
    error: FormatError,
    text: str,
    parse: Callable[[str], Parsed],
    parse_token: Callable[[str], Parsed] | None,
) -> Failure:
    failure = Failure.from_error(error)
    hint = invisible_character_hint(text, error, parse)
    if hint is None and error.reason is Reason.VALUE_NOT_IN_FORMAT and parse_token is not None:
        hint = _already(text, parse_token)
    return failure if hint is None else replace(failure, message=f"{failure.message}; {hint}")


def _already(text: str, parse_token: Callable[[str], Parsed]) -> str | None:
    try:
        parse_token(text)
    except FormatError:
        return None
    return _ALREADY


def with_view_layouts(column: ParsedColumn, field: Field, view: str) -> ParsedColumn:
    """Returns the column with the layouts of a view's answers: a written view has none."""
    shown = field.views.get(view)
    if shown is None or not shown.write:
        return column
    items = [(index, slot, bare_layout(0)) for index, slot, _ in column.items]
    return replace(column, items=items)
