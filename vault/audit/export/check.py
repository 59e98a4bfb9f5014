"""Checks an export with the public key alone: no server, no database, no key of ours.

Every line states its leaf, and every 256th the hash of its tile. Which leaf belongs to a line
follows from its content, which tile to 256 leaves, and all tiles must lead to the signed root.
So a change is named as exactly as what was not changed along with it allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, groupby

from vault.audit.chain import FindingKind
from vault.audit.export.gone import GonePositions
from vault.audit.export.lines import ExportHeader, ExportLine, ends_tile
from vault.audit.export.signed_tree import SignedTree, read_signed_tree
from vault.audit.merkle import HASH_BYTES, Tree
from vault.audit.pruning.declaration import read_pruning
from vault.audit.record import RecordId, stated_id
from vault.audit.tlog.note import NoteKey
from vault.audit.tlog.proofs import perfect_tree_hash
from vault.audit.tlog.tiles import TILE_WIDTH
from vault.service.audit import Finding

__all__ = ["ExportReport", "check_export"]

_MAX_HELD = 1000  # findings, and runs of missing positions
_MAX_LATE = 10_000
_GONE = "is missing, or was edited in the database"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What a check of an export found.

    Attributes:
        tree: the signed log that the export is of; None where nothing can be believed.
        first: the first position in it.
        records: how many records were read.
        unproved: how many of them have a leaf of version 1, which says nothing of their content.
        last_unproved: the last position of those.
        pruned: how many have no body, by a pruning that the export has.
    """

    tree: SignedTree | None
    first: int = 1
    records: int = 0
    unproved: int = 0
    last_unproved: int = 0
    findings: Sequence[Finding] = ()
    pruned: int = 0


def check_export(
    lines: Iterable[bytes], keys: Sequence[NoteKey], earlier: SignedTree | None = None
) -> ExportReport:
    """Checks an export's lines, each with its newline; reads them once and keeps none.

    Args:
        keys: the log's public keys.
        earlier: a checkpoint from which nothing may be missing; the export may begin after it.
    """
    remaining = iter(lines)
    try:
        header = ExportHeader.from_line(_decoded(next(remaining, b"")))
        tree = Tree.from_bytes(header.first - 1, header.peaks)
    except ValueError:
        text = "the first line is not that of an export: it was changed, or never was one"
        return ExportReport(None, findings=[_finding(FindingKind.EDITED, text)])
    try:
        signed = read_signed_tree(header.checkpoint, keys)
    except ValueError as error:
        finding = _finding(FindingKind.EDITED, f"the export's checkpoint: {error}")
        return ExportReport(None, header.first, findings=[finding])
    if earlier is not None and earlier.origin != signed.origin:
        text = f"the checkpoint given is of another log, {earlier.origin!r}"
        return ExportReport(None, header.first, findings=[_finding(FindingKind.EDITED, text)])
    check = _ExportCheck(header.first, signed, earlier, tree)
    for number, line in enumerate(remaining, 2):
        check.feed(number, line)
    return check.end()


@dataclass
class _Block:
    """The leaves since the last tile's end.

    Attributes:
        whole: none of them is missing.
        doubted: something was found in it.
    """

    leaves: list[bytes] = field(default_factory=list)
    whole: bool = True
    doubted: bool = False


@dataclass
class _ExportCheck:
    """The state after some lines.

    Attributes:
        tree: the log's tree before the block; None where what is missing has no tile either.
    """

    first: int
    signed: SignedTree
    earlier: SignedTree | None
    tree: Tree | None
    findings: list[Finding] = field(default_factory=list)
    records: int = 0
    unproved: int = 0
    last_unproved: int = 0
    _pruned_through: int = 0
    _gone: GonePositions = field(default_factory=GonePositions)
    _block: _Block = field(default_factory=_Block)
    _missing: list[range] = field(default_factory=list)
    _late: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._expected = self.first
        self._check_start()

    def feed(self, number: int, line: bytes) -> None:
        """Takes the next line; ``number`` is its own in the file."""
        try:
            found = ExportLine.from_line(_decoded(line))
        except ValueError:
            self._find(FindingKind.EDITED, f"line {number} is not as it was exported{self._near()}")
            self._block.whole, self._block.doubted = False, True
            return
        if found.position < self._expected:
            self._take_late(found.position)
        elif found.position > self.signed.size:
            text = f"position {found.position} is beyond the checkpoint's {self.signed.size}"
            self._find(FindingKind.INSERTED, text)
        else:
            self._take(found)

    def end(self) -> ExportReport:
        """Judges what remains after the last line."""
        self._find_missing()
        self._find_gone()
        size = self.signed.size
        if self._expected <= size:
            text = f"{_range(self._expected, size)} missing at the end"
            self._find(FindingKind.TRUNCATED, text)
        else:
            root = self._root()
            if not self._block.doubted and root is not None and root != self.signed.root:
                since = min(self.first, size)
                text = f"{_range(since, size)} not what the checkpoint is of"
                self._find(FindingKind.EDITED, text)
        return ExportReport(
            self.signed,
            self.first,
            self.records,
            self.unproved,
            self.last_unproved,
            self.findings,
            self._gone.through(self._pruned_through),
        )

    # -- where it begins ------------------------------------------------------------------

    def _check_start(self) -> None:
        known = self.earlier.size if self.earlier is not None else 0
        if known > self.signed.size:
            text = (
                f"{_range(self.signed.size + 1, known)} missing at the end, by the checkpoint given"
            )
            self._find(FindingKind.TRUNCATED, text)
        elif known + 1 < self.first:
            text = (
                f"{_range(known + 1, self.first - 1)} not in the export: give the checkpoint that"
                f" has {self.first - 1} entries or more, or export from position {known + 1}"
            )
            self._find(FindingKind.TRUNCATED, text)
        self._compare(self.first - 1)

    def _compare(self, size: int) -> None:
        """Compares the log's first entries with the earlier checkpoint, where it is of so many."""
        earlier = self.earlier
        if earlier is None or earlier.size != size or not size or self._block.doubted:
            return
        root = self._root()
        if root is not None and root != earlier.root:
            text = f"the log's first {size} entries are not those of the checkpoint given"
            self._find(FindingKind.EDITED, text)

    def _root(self) -> bytes | None:
        if self.tree is None or not self._block.whole:
            return None
        return self.tree.grown(self._block.leaves).root()

    # -- a line ---------------------------------------------------------------------------

    def _take(self, line: ExportLine) -> None:
        position = line.position
        if position > self._expected:
            self._skip_to(position)
        self._expected = position + 1
        self._judge(line)
        self._compare(position)
        tile = self._tile_of(line)
        if position % TILE_WIDTH == 0:
            self._end_tile(position, tile)

    def _judge(self, line: ExportLine) -> None:
        entry, position = line.entry, line.position
        if entry is None or len(entry.leaf) != HASH_BYTES:
            self._find(FindingKind.DELETED, f"position {position} of the log is missing")
            self._block.whole, self._block.doubted = False, True
            return
        self.records += 1
        self._block.leaves.append(entry.leaf)
        if entry.body_digest is None:
            self.unproved, self.last_unproved = self.unproved + 1, position
        if entry.leaf_at(position) != entry.leaf:
            self._block.doubted = True
            self._find(FindingKind.EDITED, f"position {position} of the log was edited")
        elif not line.body and entry.number > 1:  # a chain's first record is never pruned
            self._gone.add(position)
        elif not line.body:
            self._find(FindingKind.DELETED, f"the record at position {position} {_GONE}")
        elif not entry.is_of(line.body) or stated_id(line.body) != RecordId(
            entry.writer, entry.number
        ):
            self._find(FindingKind.EDITED, f"the record at position {position} was edited")
        elif entry.body_digest is not None:  # what the leaf does not commit to declares nothing
            self._note_pruning(line.body)

    def _note_pruning(self, body: str) -> None:
        try:
            pruning = read_pruning(body)
        except ValueError:
            return  # no server writes it so: it declares nothing
        if pruning is not None:
            self._pruned_through = max(self._pruned_through, pruning.position)

    def _take_late(self, position: int) -> None:
        missing = any(position in each for each in self._missing)
        if missing and position not in self._late and len(self._late) < _MAX_LATE:
            self._late.add(position)
            text = f"position {position} of the log stands after position {self._expected - 1}"
            self._find(FindingKind.REORDERED, text)
        else:
            self._find(FindingKind.INSERTED, f"position {position} of the log stands there again")

    # -- tiles ----------------------------------------------------------------------------

    def _skip_to(self, position: int) -> None:
        if len(self._missing) < _MAX_HELD:
            self._missing.append(range(self._expected, position))
        # The block that it begins in, or the one that the missing positions end.
        tile, last = (self._expected - 1) // TILE_WIDTH, (position - 1) // TILE_WIDTH
        if tile != last:
            self.tree, self._block = None, _Block()
        self._block.whole, self._block.doubted = False, True

    def _tile_of(self, line: ExportLine) -> bytes | None:
        """Returns the hash of the tile that a line ends; no leaf says what else stands there."""
        tile = line.tile
        if (tile is not None) == ends_tile(self.first, line.position) and (
            tile is None or len(tile) == HASH_BYTES
        ):
            return tile
        text = f"position {line.position} has no hash of its tile, or one that it cannot have"
        self._find(FindingKind.EDITED, text)
        return None

    def _end_tile(self, position: int, tile: bytes | None) -> None:
        block, self._block = self._block, _Block()
        if tile is None:
            # The first tile, of which the export has a part: its leaves alone are there.
            sound = self.tree is not None and block.whole and not block.doubted
            self.tree = self.tree.grown(block.leaves) if sound and self.tree else None
            return
        if block.whole and not block.doubted and perfect_tree_hash(block.leaves) != tile:
            text = f"{_range(position - TILE_WIDTH + 1, position)} not what was integrated"
            self._find(FindingKind.EDITED, text)
        if self.tree is not None:
            # The tile and not the leaves: what was found in these must not doubt what follows.
            self.tree = _with_tile(self.tree, tile)

    # -- findings -------------------------------------------------------------------------

    def _find_gone(self) -> None:
        for first, last, gone in self._gone.after(self._pruned_through):
            if gone == last - first + 1:
                for position in range(first, min(last + 1, first + _MAX_HELD)):
                    text = f"the record at position {position} {_GONE}"
                    self._find(FindingKind.DELETED, text)
            else:
                text = f"{gone:,} records of positions {first} to {last}: each {_GONE}"
                self._find(FindingKind.DELETED, text)

    def _find_missing(self) -> None:
        for run in self._missing:
            runs: Iterable[tuple[int, int]] = [(run[0], run[-1])]
            if len(run) <= _MAX_LATE:
                runs = _runs(each for each in run if each not in self._late)
            for first, last in runs:
                self._find(FindingKind.DELETED, f"{_range(first, last)} missing")

    def _near(self) -> str:
        if self._expected > self.signed.size:
            return ""
        return f"; position {self._expected} belongs there"

    def _find(self, kind: FindingKind, text: str) -> None:
        if len(self.findings) < _MAX_HELD:
            self.findings.append(_finding(kind, text))


def _with_tile(tree: Tree, tile: bytes) -> Tree:
    """Returns a tree of whole tiles with another one at its end."""
    tiles = replace(tree, size=tree.size // TILE_WIDTH).grown([tile])
    return replace(tiles, size=tiles.size * TILE_WIDTH)


def _finding(kind: FindingKind, text: str) -> Finding:
    return Finding("", 0, kind.value, text)


def _decoded(line: bytes) -> str:
    return line.decode("ascii")


def _range(first: int, last: int) -> str:
    if first == last:
        return f"position {first} of the log is"
    return f"positions {first} to {last} of the log are"


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Joins rising numbers into runs: (first, last)."""
    place = count()
    for _, run in groupby(numbers, lambda number: number - next(place)):
        members = list(run)
        yield members[0], members[-1]
