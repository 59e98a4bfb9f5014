"""The honey tokens that a process knows: asked of each token of a call, read again every second."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from uuid import UUID

from vault.model import TokenSpace
from vault.service.honey.sets import HoneyRows, HoneySet
from vault.service.ports import HoneyRow

__all__ = ["KnownHoney"]

Refused = Callable[[UUID, str], None]
"""What reports a set's row that is not believed, with the reason."""


@dataclass(frozen=True, slots=True)
class _Field:
    """The honey tokens of a field, and the sets that each is in."""

    tokens: frozenset[str] = field(repr=False)
    sets: Mapping[str, tuple[str, ...]] = field(repr=False)


class KnownHoney:
    """The sets of one process; threads share it. What was honey once stays so until it is retired.

    Args:
        rows: None where there is no honey.
        refused: called once for each row that is not believed, until it is another one.
    """

    def __init__(
        self, rows: HoneyRows | None = None, refused: Refused = lambda _, __: None
    ) -> None:
        self._rows = rows
        self._refused = refused
        self._lock = Lock()
        self._sets: dict[UUID, HoneySet] = {}
        self._macs: dict[UUID, bytes] = {}
        self._reported: dict[UUID, bytes] = {}
        self._fields: Mapping[TokenSpace, _Field] = {}

    def found(self, space: TokenSpace, tokens: Iterable[str]) -> Mapping[str, int]:
        """Returns how many of token cores are honey, by the id of their set.

        Each token costs the same, whether it is honey or not.
        """
        known = self._fields.get(space)
        if known is None:
            return {}
        counts: dict[str, int] = {}
        for hit in known.tokens.intersection(tokens):
            for each in known.sets[hit]:
                counts[each] = counts.get(each, 0) + 1
        return counts

    def any_of(self, space: TokenSpace) -> bool:
        """Returns whether a field has honey tokens."""
        return space in self._fields

    def label(self, set_id: str) -> str:
        """Returns what a set is called."""
        found = self._sets.get(UUID(set_id))
        return "" if found is None else found.label

    def unknown(self, macs: Mapping[UUID, bytes]) -> Collection[UUID]:
        """Returns which of the stored rows, given by their MACs, this process has not read."""
        with self._lock:
            for gone in self._sets.keys() - macs.keys():
                self._report(gone, b"", "is gone")
            return [each for each, mac in macs.items() if self._macs.get(each) != mac]

    def take(self, rows: Iterable[HoneyRow]) -> None:
        """Takes rows that are new or have changed."""
        with self._lock:
            for row in rows:
                self._macs[row.id] = row.mac
                self._take(row)
            self._fields = _by_field(self._sets.values())

    def _take(self, row: HoneyRow) -> None:
        assert self._rows is not None
        before, found = self._sets.get(row.id), self._rows.read(row)
        if found is None:
            self._report(row.id, row.mac, "was not written by a server")
        elif before is not None and found.active and not before.active:
            self._report(row.id, row.mac, "is older than this server knows it")
        else:
            self._sets[row.id] = found

    def _report(self, set_id: UUID, mac: bytes, why: str) -> None:
        if self._reported.get(set_id) != mac:
            self._reported[set_id] = mac
            self._refused(set_id, why)


def _by_field(sets: Iterable[HoneySet]) -> Mapping[TokenSpace, _Field]:
    found: dict[TokenSpace, dict[str, tuple[str, ...]]] = {}
    for each in sets:
        if each.active:
            tokens = found.setdefault(TokenSpace(each.tenant, each.field), {})
            for token in each.tokens:
                tokens[token] = (*tokens.get(token, ()), str(each.id))
    return {space: _Field(frozenset(tokens), tokens) for space, tokens in found.items()}
