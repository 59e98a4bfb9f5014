"""Tokenizes and detokenizes chosen columns of a CSV file through the client.

The file streams through in chunks, in constant memory. Everything that is not replaced
(byte order mark, header, other cells, quoting, line endings, blank lines) comes out byte
for byte. A replaced cell is quoted where the cell before it was, or where it must be.
Bytes that are no UTF-8 pass through untouched cells and reject a chosen one.

A cell that fails never reaches the output: its row is left out (the default), or the cell
is emptied, or the run stops. Empty cells are not values; they stay and are counted.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Protocol, TextIO

from vault.bulk.atomic import atomic_output
from vault.bulk.outcome import CsvOptions, Summary
from vault.bulk.records import CsvError
from vault.bulk.run import ConvertRegion, Run
from vault.bulk.shell import shell_word
from vault.client import CallError, Client, Column, Erased

__all__ = ["SupportsErase", "convert_csv", "detokenize_csv", "erase_csv", "tokenize_csv"]

Convert = Callable[[str, Sequence[str]], Column]
Progress = Callable[[int, int], None]


def tokenize_csv(
    client: Client,
    source: Path | BinaryIO,
    target: Path | BinaryIO,
    options: CsvOptions,
    *,
    regions: Mapping[str, str] | None = None,
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Replaces the values of the chosen columns by their tokens. See ``convert_csv``.

    Args:
        regions: by field, the country that its phone numbers are of in this file. Where rows
            are of several, ``options.region_columns`` names the column that says which.
    """
    chosen = regions or {}
    _refuse_regions(chosen, options)

    def convert(field_name: str, values: Sequence[str], region: str) -> Column:
        return client.tokenize(field_name, values, region=region or chosen.get(field_name, ""))

    return _convert(convert, source, target, options, rejects, progress)


def detokenize_csv(
    client: Client,
    source: Path | BinaryIO,
    target: Path | BinaryIO,
    options: CsvOptions,
    *,
    view: str = "",
    purpose: str = "",
    ticket: str = "",
    rejects: Path | None = None,
    receipt: Callable[[str], object] = lambda _: None,
    progress: Progress | None = None,
) -> Summary:
    """Replaces the tokens of the chosen columns by a view of their values. See ``convert_csv``.

    Args:
        purpose: what the values are read for, where the policy asks.
        ticket: where that is written down, where the policy asks.
        receipt: called with each receipt, where the policy says that they are given.
    """

    def convert(field_name: str, tokens: Sequence[str]) -> Column:
        try:
            found = client.detokenize(field_name, tokens, view=view, purpose=purpose, ticket=ticket)
        except CallError as error:
            if view:
                error.add_note(f"view {shell_word(view)}")
            raise
        for each in found.receipts:
            receipt(each)
        return found

    return convert_csv(convert, source, target, options, rejects=rejects, progress=progress)


class SupportsErase(Protocol):
    """What erases a column of a field by tokens or by values: a client, for one."""

    def erase(
        self,
        field: str,
        *,
        tokens: Sequence[str | None] | None = None,
        values: Sequence[str | None] | None = None,
    ) -> Erased:
        """Erases what is named. Raises CallError."""


def erase_csv(
    client: SupportsErase,
    source: Path | BinaryIO,
    options: CsvOptions,
    *,
    by_value: bool = False,
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Erases what the chosen columns name, tokens or values; the file stays as it is.

    ``converted`` of the summary counts what is erased, ``written`` the rows without a
    reject. See ``convert_csv``; a run that is stopped has erased what came before, and its
    error says so.
    """
    erased = 0

    def convert(field_name: str, cells: Sequence[str]) -> Column:
        nonlocal erased
        if by_value:
            done = client.erase(field_name, values=cells)
        else:
            done = client.erase(field_name, tokens=cells)
        erased += len(cells) - len(done.errors)
        marks: list[str | None] = ["" if at in done.errors else "x" for at in range(len(cells))]
        return Column(marks, done.errors, done.skipped)

    try:
        with Path(os.devnull).open("wb") as nowhere:
            return convert_csv(
                convert, source, nowhere, options, rejects=rejects, progress=progress
            )
    except CsvError as error:
        what = f"what {erased:,} cells name, and no more," if erased else "nothing"
        error.message += f"; {what} was erased"
        error.args = (error.message,)
        raise


def convert_csv(
    convert: Convert,
    source: Path | BinaryIO,
    target: Path | BinaryIO,
    options: CsvOptions,
    *,
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Converts the chosen columns of ``source`` into ``target``.

    A target and a rejects file given as paths have mode 0600 and appear only when the
    whole run has ended well; source, target and rejects must be three files, since rows
    that are left out would otherwise be nowhere. ``progress`` is called after each
    chunk with the rows and the bytes read so far (0 bytes where the source cannot tell).

    Raises:
        CsvError: the file or the options do not fit; RejectedError where the options say to stop.
        CallError: the service refused a call, or stayed unavailable.
        OSError: a file cannot be read or written.
    """

    def of_any_region(field_name: str, values: Sequence[str], region: str) -> Column:
        if region:
            raise CsvError("only tokenize takes a column of regions")
        return convert(field_name, values)

    return _convert(of_any_region, source, target, options, rejects, progress)


def _convert(
    convert: ConvertRegion,
    source: Path | BinaryIO,
    target: Path | BinaryIO,
    options: CsvOptions,
    rejects: Path | None,
    progress: Progress | None,
) -> Summary:
    _refuse_shared_files(source=source, output=target, rejects=rejects)
    with ExitStack() as stack:
        read = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        write = stack.enter_context(atomic_output(target)) if isinstance(target, Path) else target
        text = io.TextIOWrapper(read, encoding="utf-8", errors="surrogateescape", newline="")
        stack.callback(text.detach)
        log: TextIO | None = None
        if rejects is not None:
            log = io.TextIOWrapper(
                stack.enter_context(atomic_output(rejects)), encoding="utf-8", newline=""
            )
            stack.callback(log.detach)
        run = Run(convert, options, text, write, log)
        while run.next_chunk():
            if progress is not None:
                progress(run.summary.rows, read.tell() if read.seekable() else 0)
        return run.summary


def _refuse_regions(regions: Mapping[str, str], options: CsvOptions) -> None:
    named = regions.keys() | options.region_columns.keys()
    strange = named - set(options.columns.values())
    if strange:
        raise CsvError(
            f"a region is given for field {shell_word(min(strange))}, which no column holds"
        )
    twice = regions.keys() & options.region_columns.keys()
    if twice:
        raise CsvError(f"field {shell_word(min(twice))} is given a region and a column of regions")
    changed = set(options.region_columns.values()) & options.columns.keys()
    if changed:
        raise CsvError(
            f"column {shell_word(min(changed))} names regions and cannot be converted in the "
            "same run"
        )


def _refuse_shared_files(**streams: Path | BinaryIO | None) -> None:
    seen: dict[object, str] = {}
    for name, stream in streams.items():
        for mark in _file_identities(stream):
            other = seen.setdefault(mark, name)
            if other != name:
                raise CsvError(
                    f"the {name} and the {other} are one file, and rows would be lost: "
                    "name another file"
                )


def _file_identities(stream: Path | BinaryIO | None) -> list[object]:
    """Returns what a file is known by: its path, and where it lies if it is there."""
    if stream is None:
        return []
    found: list[object] = [stream.resolve()] if isinstance(stream, Path) else []
    try:
        status = stream.stat() if isinstance(stream, Path) else os.fstat(stream.fileno())
    except (OSError, AttributeError):
        return found  # not there yet, or in memory
    # A terminal or /dev/null may well be several of them.
    return [*found, (status.st_dev, status.st_ino)] if stat.S_ISREG(status.st_mode) else found
