"""Columns of vaulted fields: items taken apart to distinct cores, answers put back by index.

Separator-free items (``vault.formats.columnar.rows``) go as arrays, all others one by one.
Both give the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vault.formats import Format, Layout, token_recogniser
from vault.formats.columnar.row_order import Indexes, distinct_rows
from vault.formats.columnar.rows import ColumnarFormat, Rows
from vault.formats.columnar.text_column import TextColumn
from vault.model import Failure
from vault.policy.model import Field
from vault.service.columnar.separator_free import items_at, split_items
from vault.service.columns import ParsedColumn, parse_column, parse_tokens, with_view_layouts
from vault.service.conversion import Parse
from vault.service.deadline import in_time

__all__ = ["VaultedColumn", "parse_vaulted_tokens", "parse_vaulted_values"]


@dataclass(frozen=True, slots=True)
class _RowItems:
    """Separator-free items: their indexes in the column, and the slots of their cores."""

    at: Indexes
    slots: Indexes


@dataclass(frozen=True, slots=True)
class VaultedColumn:
    """A parsed column. Equal cores share a slot, unless each item is to have its own.

    Attributes:
        cores: one core per slot; a ``TextColumn`` where there are rows.
        rest: the items that went one by one, by index and slot in the whole column.
        rows: the items that went as arrays, if any did.
    """

    cores: Sequence[str] = field(repr=False)
    rest: ParsedColumn
    rows: _RowItems | None = field(default=None, repr=False)

    def with_view_layouts(self, of_field: Field, view: str) -> VaultedColumn:
        """Returns the column as a view of it is answered. Rows have no layout."""
        return replace(self, rest=with_view_layouts(self.rest, of_field, view))

    def render(
        self, policy_format: Format, texts: Sequence[str], failures: Mapping[int, Failure]
    ) -> tuple[Sequence[str], dict[int, Failure]]:
        """Renders the slots' answers into the request's order, each in its item's layout.

        Args:
            texts: one per slot, empty where it failed.
            failures: by slot.
        """
        if self.rows is None:
            return self.rest.render(policy_format, _outcomes(texts, failures))
        if len(self.rows.at) == self.rest.size and np.array_equal(self.rows.at, self.rows.slots):
            # All items are rows, and each has the slot of its own index.
            return texts, dict(sorted(failures.items()))
        rendered, failed = self._render_rest(policy_format, texts, failures)
        failed.update(_failed_rows(self.rows, failures))
        joined = _joined(self.rest.size, self.rows, texts, rendered)
        return joined, dict(sorted(failed.items()))

    def _render_rest(
        self, policy_format: Format, texts: Sequence[str], failures: Mapping[int, Failure]
    ) -> tuple[list[tuple[int, str]], dict[int, Failure]]:
        """Returns the texts of items that went one by one, with their indexes, and failures."""
        if not self.rest.items:
            return [], dict(self.rest.failures)
        outcomes = _outcomes(list(texts), failures)
        rendered, failed = self.rest.render(policy_format, outcomes)
        return [(index, rendered[index]) for index, _, _ in self.rest.items], failed


def parse_vaulted_values(
    of_field: Field,
    values: Sequence[str],
    parse: Parse,
    *,
    share: bool = True,
    deadline: float | None = None,
) -> VaultedColumn:
    """Parses values. Raises Unavailable (DEADLINE_EXCEEDED)."""
    rules, groups, rest = split_items(of_field.format, values, lambda rules: rules.value_mask)
    column = parse_column(
        items_at(values, rest),
        parse,
        parse_token=token_recogniser(of_field.format),
        share=share,
        deadline=deadline,
    )
    return _column(len(values), rules, groups, rest, column, share=share, deadline=deadline)


def parse_vaulted_tokens(
    of_field: Field, tokens: Sequence[str], deadline: float | None = None
) -> VaultedColumn:
    """Parses tokens. Raises Unavailable (DEADLINE_EXCEEDED)."""
    rules, groups, rest = split_items(of_field.format, tokens, lambda rules: rules.token_mask)
    column = parse_tokens(items_at(tokens, rest), of_field.format, deadline)
    return _column(len(tokens), rules, groups, rest, column, share=True, deadline=deadline)


def _column(
    size: int,
    rules: ColumnarFormat | None,
    groups: Sequence[Rows],
    rest: Sequence[int],
    parsed: ParsedColumn,
    *,
    share: bool,
    deadline: float | None,
) -> VaultedColumn:
    """Puts rows and the items that went one by one into one column."""
    taken = [group for group in groups if len(group.at)]
    if rules is None or not taken:
        return VaultedColumn(parsed.cores, parsed)
    parts: list[TextColumn] = []
    slots: list[Indexes] = []
    for group in in_time(taken, deadline):
        codes = group.codes(rules.row_alphabet)
        own = np.arange(len(codes))
        if share:
            examples, kinds = distinct_rows(group.digits)
            if len(examples) < len(codes):
                codes, own = codes[examples], kinds
        slots.append(own + sum(map(len, parts)))
        parts.append(TextColumn(codes.reshape(-1), np.arange(len(codes) + 1) * codes.shape[1]))
    cores = TextColumn.concat(parts)
    slot_of, more = _slots_beside(cores, parsed.cores, share=share)
    if more:
        cores = TextColumn.concat([cores, TextColumn.from_strings(more)])
    items: list[tuple[int, int, Layout]] = [
        (rest[index], slot_of[slot], layout) for index, slot, layout in parsed.items
    ]
    failures = {rest[index]: failure for index, failure in parsed.failures.items()}
    rows = _RowItems(np.concatenate([group.at for group in taken]), np.concatenate(slots))
    return VaultedColumn(cores, ParsedColumn(size, parsed.cores, items, failures), rows)


def _slots_beside(
    cores: TextColumn, others: Sequence[str], *, share: bool
) -> tuple[list[int], list[str]]:
    """Returns the slots of cores that came one by one, and those that are not there yet."""
    if not share or not others:
        return list(range(len(cores), len(cores) + len(others))), list(others)
    slots = {core: slot for slot, core in enumerate(cores)}
    slot_of = [slots.setdefault(core, len(slots)) for core in others]
    return slot_of, list(slots)[len(cores) :]


def _outcomes(texts: Sequence[str], failures: Mapping[int, Failure]) -> Sequence[str | Failure]:
    if not failures:
        return texts
    return [failures.get(slot, text) for slot, text in enumerate(texts)]


def _failed_rows(rows: _RowItems, failures: Mapping[int, Failure]) -> dict[int, Failure]:
    """Returns the failures of rows by index."""
    if not failures:
        return {}
    failed = np.isin(rows.slots, list(failures))
    pairs = zip(rows.at[failed].tolist(), rows.slots[failed].tolist(), strict=True)
    return {index: failures[slot] for index, slot in pairs}


def _joined(
    size: int, rows: _RowItems, texts: Sequence[str], rendered: Sequence[tuple[int, str]]
) -> TextColumn:
    """Puts the texts of rows by slot, and rendered texts, in order; the rest is empty."""
    others = TextColumn.from_strings([text for _, text in rendered] + [""])
    pool = TextColumn.concat([TextColumn.from_strings(texts), others])
    order = np.full(size, len(pool) - 1, np.int64)
    order[rows.at] = rows.slots
    for number, (index, _) in enumerate(rendered, len(texts)):
        order[index] = number
    return pool.select(order)
