"""The lines of an export that can be checked without our keys.

A line of JSON with the signed checkpoint comes first, then one for each position. A line is
read only as it was written, byte by byte: an export has one spelling.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from vault.audit.json_text import read_count, read_json
from vault.audit.log import LogEntry
from vault.audit.record import canonical_json
from vault.audit.tlog.proofs import perfect_tree_hash
from vault.audit.tlog.tiles import TILE_WIDTH

__all__ = ["ExportHeader", "ExportLine", "ends_tile", "with_tiles"]

_FORMAT = "tokenvault/v1/audit-export"


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """What an export is of.

    Attributes:
        checkpoint: a signed note; the export ends at its size.
        first: the first position.
        peaks: the peaks of the log's tree before that position.
    """

    checkpoint: str
    first: int
    peaks: bytes

    def to_line(self) -> str:
        """Returns the line, with its newline."""
        document = {
            "format": _FORMAT,
            "from": self.first,
            "peaks": self.peaks.hex(),
            "checkpoint": self.checkpoint,
        }
        return f"{json.dumps(document, separators=(',', ':'))}\n"

    @classmethod
    def from_line(cls, line: str) -> ExportHeader:
        """Reads what ``to_line`` wrote. Raises ValueError."""
        match _object(line):
            case {"from": int(first), "peaks": str(peaks), "checkpoint": str(checkpoint)}:
                header = cls(checkpoint, read_count(first, least=1), bytes.fromhex(peaks))
                if header.to_line() == line:
                    return header
        raise ValueError("not the first line of an export")


@dataclass(frozen=True, slots=True)
class ExportLine:
    """What the log has at a position.

    Attributes:
        entry: the entry; None where it is gone from the database.
        body: the record's body; empty where the record is gone, or was edited.
        tile: the hash of the 256 leaves that this one is the last of, if it is (C2SP tlog-tiles).
    """

    position: int
    entry: LogEntry | None
    body: str
    tile: bytes | None = None

    def to_line(self) -> str:
        """Returns the line, with its newline."""
        parts = [f'"position":{self.position}', *self._entry_parts()]
        if self.tile is not None:
            parts.append(f'"tile":"{self.tile.hex()}"')
        return f"{{{','.join(parts)}}}\n"

    def _entry_parts(self) -> list[str]:
        if self.entry is None:
            return ['"leaf":null']
        digest = self.entry.body_digest
        return [
            f'"writer":"{self.entry.writer}"',
            f'"number":{self.entry.number}',
            f'"body":{self.body or "null"}',
            f'"body_digest":{"null" if digest is None else _hex(digest)}',
            f'"mac":{_hex(self.entry.mac)}',
            f'"leaf":{_hex(self.entry.leaf)}',
        ]

    @classmethod
    def from_line(cls, line: str) -> ExportLine:
        """Reads what ``to_line`` wrote. Raises ValueError."""
        document = _object(line)
        position = read_count(document.get("position"), least=1)
        tile = _bytes(document["tile"]) if "tile" in document else None
        if document.get("leaf") is None:
            found = cls(position, None, "", tile)
        else:
            found = cls(position, _entry(position, document), _body(document.get("body")), tile)
        if found.to_line() != line:
            raise ValueError("not a line of an export")
        return found


def with_tiles(first: int, lines: Iterable[ExportLine]) -> Iterator[ExportLine]:
    """Gives the lines from ``first`` on the hashes of their tiles; one with a gap has none."""
    leaves: list[bytes] = []
    for line in lines:
        if line.entry is not None:
            leaves.append(line.entry.leaf)
        if line.position % TILE_WIDTH:
            yield line
            continue
        whole = ends_tile(first, line.position) and len(leaves) == TILE_WIDTH
        yield replace(line, tile=perfect_tree_hash(leaves) if whole else None)
        leaves = []


def ends_tile(first: int, position: int) -> bool:
    """Returns whether an export from ``first`` on has a whole tile that ends at a position."""
    return position % TILE_WIDTH == 0 and position - TILE_WIDTH + 1 >= first


def _entry(position: int, document: Mapping[str, object]) -> LogEntry:
    digest = document.get("body_digest")
    return LogEntry(
        position,
        UUID(_text(document.get("writer"))),
        read_count(document.get("number")),
        _bytes(document.get("mac")),
        _bytes(document.get("leaf")),
        None if digest is None else _bytes(digest),
    )


def _body(value: object) -> str:
    match value:
        case None:
            return ""
        case dict():
            return canonical_json(value)
    raise ValueError("not a record's body")


def _object(line: str) -> Mapping[str, object]:
    match read_json(line):
        case dict() as document:
            return document
    raise ValueError("not a JSON object")


def _hex(content: bytes) -> str:
    return f'"{content.hex()}"'


def _bytes(value: object) -> bytes:
    return bytes.fromhex(_text(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - what was read, not how it was called
    return value
