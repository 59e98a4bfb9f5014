"""MACs of rows that decide: a row of Postgres that nobody but a server of ours can have written.

What a row of such a table lets somebody do is worth writing one by hand: a budget's counter, a
reveal's request, an approval, a grant. Each has the columns ``key_version`` and ``mac``, and is
believed only where the MAC is that of all its other columns::

    key = keys.audit_key(tenant).rows
    mac = key.mac("budget_counters", [tenant, field, action, principal, seconds, begins, used])
    ...
    keys.audit_key(tenant, key_version).rows.verify("budget_counters", row, mac)

A row lists its columns always in the same order: those of its primary key, or it could be copied
to another place, and everything that a decision reads. A table whose columns change takes another
name here (``budget_counters/2``). A MAC does not show that a genuine row was put back in place of
a later one: that is found by comparison with the audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import TypeAlias
from uuid import UUID

from vault.crypto.encoding import length_prefixed, u32
from vault.crypto.kdf import Label, expand
from vault.crypto.prf import Prf
from vault.crypto.secret import Secret, check_root

__all__ = ["Cell", "RowMacKey"]

Cell: TypeAlias = bool | int | str | bytes | UUID | datetime | Sequence[str] | None
"""What a column holds; a list of texts is an array."""

_LABEL = b"tokenvault/v1/row-mac"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class RowMacKey(Secret):
    """What one version of a tenant's audit key MACs rows under. Threads may share it."""

    __slots__ = ("_prf",)

    def __init__(self, version: int, root: bytes) -> None:
        """Takes a 32-byte root. Raises ValueError."""
        check_root(root)
        prefix = length_prefixed(_LABEL, u32(version))
        self._prf = Prf(expand(root, Label.ROW_MAC_KEY, u32(version)), prefix)

    def mac(self, table: str, row: Sequence[Cell]) -> bytes:
        """Returns the 32-byte MAC of a row.

        Raises ValueError for a number of more than 64 bits, and for a time without a zone.
        """
        cells = [_encode(cell) for cell in row]
        return self._prf.digest(length_prefixed(table.encode(), *cells))

    def verify(self, table: str, row: Sequence[Cell], mac: bytes) -> bool:
        """Returns, in constant time, whether ``mac`` is the row's. Raises nothing."""
        try:
            expected = self.mac(table, row)
        except ValueError:
            return False
        return compare_digest(expected, mac or b"")  # NULL where its NOT NULL was dropped


def _encode(cell: Cell) -> bytes:
    """Encodes a cell behind a character for its type: 1, "1" and b"1" are three cells."""
    match cell:
        case None:
            return b"n"
        case bool():  # before int, which it is too
            return b"t" if cell else b"f"
        case int():
            return b"i" + _int64(cell)
        case str():
            return b"s" + _text(cell)
        case bytes():
            return b"b" + cell
        case UUID():
            return b"u" + cell.bytes
        case datetime():
            return b"d" + _int64(_microseconds(cell))
        case _:
            return b"a" + length_prefixed(*map(_text, cell))


def _int64(number: int) -> bytes:
    try:
        # Signed: a tampered row may hold any bigint, and must fail its MAC, not its encoding.
        return number.to_bytes(8, signed=True)
    except OverflowError:
        raise ValueError("a number must fit into 64 bits") from None


def _text(text: str) -> bytes:
    # "surrogatepass": an edited row must fail its MAC, not its encoding.
    return text.encode("utf-8", "surrogatepass")


def _microseconds(time: datetime) -> int:
    if time.tzinfo is None:
        raise ValueError("a time must have a zone")
    return (time - _EPOCH) // _MICROSECOND
