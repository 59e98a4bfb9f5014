"""Columns of vaultless fields: values to tokens and back, with nothing stored.

Separator-free items (``vault.formats.columnar.rows``) go through the cipher as arrays; all
others are parsed, planned and rendered item by item. Both give the same answers, and
``split_rows`` alone decides which items go how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vault.crypto.field_key import FieldKey
from vault.crypto.fpe.limbs import Digits
from vault.errors import Reason
from vault.formats import Parsed, token_recogniser
from vault.formats.columnar.row_order import as_items
from vault.formats.columnar.rows import (
    ColumnarFormat,
    Mask,
    Rows,
    join_texts,
    stack_texts,
)
from vault.model import Failure
from vault.policy.model import Field
from vault.service.columnar.row_ciphers import cipher_rows
from vault.service.columnar.separator_free import items_at, split_items
from vault.service.columns import NO_TOKEN, Answers, parse_column, parse_tokens, with_view_layouts
from vault.service.conversion import Conversion
from vault.service.token_creation import VAULTLESS_KEY_VERSION, encipher_cores
from vault.service.token_reading import decipher_tokens

__all__ = [
    "FIXED_POINT",
    "VAULTLESS_KEY_VERSIONS",
    "detokenize_column",
    "no_tokens",
    "tokenize_column",
]

FIXED_POINT = Failure(
    Reason.FORMAT_SPACE_EXHAUSTED,
    "this value's vaultless token would equal the value; use vaulted storage for the field",
)
VAULTLESS_KEY_VERSIONS = frozenset({VAULTLESS_KEY_VERSION})

Show = Callable[[str, str], str]


def tokenize_column(
    key: FieldKey,
    field: Field,
    tweak_version: int,
    values: Sequence[str],
    parse: Callable[[str], Parsed],
    *,
    deadline: float | None = None,
) -> Conversion[str]:
    """Returns the token of each value. A value whose token would be itself fails.

    Args:
        tweak_version: the one that is recorded for the field.
        parse: takes a value apart that is not plain.
        deadline: ``time.monotonic()`` at which the answer is worthless.

    Raises:
        Unavailable: DEADLINE_EXCEEDED.
    """
    made = _ConversionBuilder(len(values), field)
    rules, groups, rest = split_items(field.format, values, lambda rules: rules.value_mask)

    def encipher(cores: list[str]) -> Answers:
        counters = [0] * len(cores)
        tokens = encipher_cores(key, field, tweak_version, cores, counters, deadline)
        return [
            FIXED_POINT if token == core else token
            for core, token in zip(cores, tokens, strict=True)
        ]

    if rules is not None:
        for group in groups:
            digits = cipher_rows(key.encipher_rows, field, tweak_version, rules, group.digits)
            rules.set_token_check_digits(digits)
            tokens, _ = made.moved(group, digits, FIXED_POINT)
            made.rows.append(tokens)
            made.token_rows.append(tokens)
    column = parse_column(
        items_at(values, rest),
        parse,
        parse_token=token_recogniser(field.format),
        deadline=deadline,
    )
    answers = encipher(column.cores)
    made.tokens.extend(token for token in answers if isinstance(token, str))
    made.add(rest, column.render(field.format, answers))
    return made.conversion()


def detokenize_column(
    key: FieldKey,
    field: Field,
    tweak_version: int,
    tokens: Sequence[str],
    view: str,
    show: Show,
    *,
    deadline: float | None = None,
) -> Conversion[str]:
    """Returns a view of the value behind each token.

    FPE has no integrity: every string in the format deciphers to something.

    Args:
        tweak_version: the one that is recorded for the field.
        show: makes the view of a token core and its value core.
        deadline: ``time.monotonic()`` at which the answer is worthless.

    Raises:
        Unavailable: DEADLINE_EXCEEDED.
    """
    made = _ConversionBuilder(len(tokens), field)
    rules, groups, rest = split_items(field.format, tokens, lambda rules: rules.token_mask)
    if rules is not None:
        for group in groups:
            digits = cipher_rows(key.decipher_rows, field, tweak_version, rules, group.digits)
            rules.set_value_check_digits(digits)
            # A fixed point was never handed out as a token, so it is none.
            values, asked = made.moved(group, digits, NO_TOKEN)
            made.token_rows.append(group)
            if view in ("full", "token"):
                made.rows.append(values if view == "full" else asked)
            else:
                texts = asked.texts(rules.row_alphabet), values.texts(rules.row_alphabet)
                made.texts.extend(zip(values.at.tolist(), map(show, *texts), strict=True))
    column = parse_tokens(items_at(tokens, rest), field.format, deadline)
    column = with_view_layouts(column, field, view)
    answers = [
        value if isinstance(value, Failure) else show(token, value)
        for token, value in zip(
            column.cores,
            decipher_tokens(key, field, tweak_version, column.cores, deadline),
            strict=True,
        )
    ]
    made.tokens.extend(column.cores)
    made.add(rest, column.render(field.format, answers))
    return made.conversion()


def no_tokens(tokens: Sequence[str]) -> Conversion[str]:
    """Returns what a field without a token answers."""
    return Conversion(
        [""] * len(tokens),
        dict.fromkeys(range(len(tokens)), NO_TOKEN),
        [],
        VAULTLESS_KEY_VERSIONS,
    )


class _ConversionBuilder:
    """What has been made of a column so far, as arrays and item by item.

    Attributes:
        rows: answers as rows.
        texts: answers made one by one, by index.
        token_rows, tokens: token cores for the audit.
        failures: by index.
    """

    def __init__(self, size: int, field: Field) -> None:
        rules = field.format
        self._size = size
        self._alphabet = rules.row_alphabet if isinstance(rules, ColumnarFormat) else None
        self.rows: list[Rows] = []
        self.texts: list[tuple[int, str]] = []
        self.token_rows: list[Rows] = []
        self.tokens: list[str] = []
        self.failures: dict[int, Failure] = {}

    def moved(self, group: Rows, digits: Digits, unmoved: Failure) -> tuple[Rows, Rows]:
        """Returns what rows became and what they were; those that stayed equal fail."""
        mask: Mask = as_items(digits) != as_items(group.digits)
        self.failures.update(dict.fromkeys(group.at[~mask].tolist(), unmoved))
        return Rows(group.at, digits).where(mask), group.where(mask)

    def add(self, at: Sequence[int], answers: tuple[Sequence[str], dict[int, Failure]]) -> None:
        """Takes over the answers of items that went one by one."""
        texts, failures = answers
        self.texts.extend(zip(at, texts, strict=True))
        self.failures.update((at[index], failure) for index, failure in failures.items())

    def conversion(self) -> Conversion[str]:
        """Returns the whole column."""
        failures = dict(sorted(self.failures.items()))
        if self._alphabet is None or not self.token_rows:
            texts = [""] * self._size
            for index, text in self.texts:
                texts[index] = text
            return Conversion(texts, failures, self.tokens, VAULTLESS_KEY_VERSIONS)
        column = join_texts(self._size, self.rows, self._alphabet, self.texts)
        if self.rows == self.token_rows and not (self.texts or failures):
            return Conversion(column, failures, column, VAULTLESS_KEY_VERSIONS)
        tokens = stack_texts(self.token_rows, self._alphabet, self.tokens)
        return Conversion(column, failures, tokens, VAULTLESS_KEY_VERSIONS)
