"""Rows of one length through a field's cipher, or to random tokens: what both storages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from vault.crypto.alphabet import Alphabet
from vault.crypto.field_key import FieldKey, TweakInput
from vault.crypto.fpe.batch import Integers
from vault.crypto.fpe.limbs import Digits
from vault.crypto.randomness import random_positions
from vault.formats.columnar.row_order import Indexes, distinct_rows
from vault.formats.columnar.rows import ColumnarFormat
from vault.model import Generator
from vault.policy.model import Field

__all__ = ["RowCipher", "cipher_rows", "encipher_vaulted_rows", "random_rows"]


class RowCipher(Protocol):
    """``FieldKey.encipher_rows`` or ``decipher_rows``."""

    def __call__(
        self,
        generator: Generator,
        radix: int,
        digits: Integers,
        tweaks: Sequence[TweakInput],
        of_row: Indexes,
        *,
        tweak_version: int,
    ) -> Integers:
        """Returns the rows, each through the cipher under its tweak."""


def cipher_rows(
    cipher: RowCipher,
    field: Field,
    tweak_version: int,
    rules: ColumnarFormat,
    digits: Digits,
    *,
    alphabet: Alphabet | None = None,
    label: str = "",
    counter: int = 0,
) -> Digits:
    """Returns the rows with their free columns through the cipher; the others as they were.

    Args:
        alphabet: of which the free columns are, if not the rows'.
        label: what the tweaks begin with.
        counter: of the tweaks.
    """
    first, free, end = rules.segments(digits.shape[1])
    kept = digits[:, [*range(first), *range(end, digits.shape[1])]]
    tweaks, of_row = _tweaks(field.scope.value, rules, kept, label, counter)
    own = alphabet or rules.row_alphabet
    middle = _converted(digits[:, first:free], rules.row_alphabet, own)
    middle[:] = cipher(
        field.generator, own.radix, middle, tweaks, of_row, tweak_version=tweak_version
    )
    made = digits.copy()
    made[:, first:free] = _converted(middle, own, rules.row_alphabet)
    return made


def encipher_vaulted_rows(
    key: FieldKey,
    field: Field,
    tweak_version: int,
    rules: ColumnarFormat,
    digits: Digits,
    counter: int,
) -> Digits:
    """Returns the tokens of a vaulted field's values."""
    made = digits.copy()
    for alphabet, label, mask in rules.token_alphabets(digits):
        made[mask] = cipher_rows(
            key.encipher_rows,
            field,
            tweak_version,
            rules,
            digits[mask],
            alphabet=alphabet,
            label=label,
            counter=counter,
        )
    rules.set_token_check_digits(made)
    return made


def random_rows(rules: ColumnarFormat, digits: Digits) -> Digits:
    """Returns random tokens of a vaulted field's values."""
    first, free, _ = rules.segments(digits.shape[1])
    made = digits.copy()
    for alphabet, _, mask in rules.token_alphabets(digits):
        middle = made[mask, first:free]
        drawn = random_positions(alphabet.radix, middle.size).reshape(middle.shape)
        made[mask, first:free] = _converted(drawn, alphabet, rules.row_alphabet)
    rules.set_token_check_digits(made)
    return made


def _converted(digits: Digits, before: Alphabet, after: Alphabet) -> Digits:
    """Returns a copy of positions in one alphabet as those of the same characters in another."""
    if before is after:
        return digits.copy()
    converted, _ = after.positions(before.codes(digits))
    return converted


def _tweaks(
    scope: str, rules: ColumnarFormat, kept: Digits, label: str, counter: int
) -> tuple[list[TweakInput], Indexes]:
    """Returns the distinct tweaks of rows by what they keep, and each row's number in them."""
    if not kept.size:
        return [TweakInput(scope, label, counter)], np.zeros(len(kept), np.int64)
    examples, of_row = distinct_rows(kept)
    texts = rules.row_alphabet.decode_many(kept[examples])
    return [TweakInput(scope, label + text, counter) for text in texts], of_row
