"""Whatever is done to an export, checking it with the public key says so."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.exported_audits import VKEY, ExportedAudit
from vault.audit.export.check import check_export
from vault.audit.export.lines import ExportLine, with_tiles
from vault.audit.export.signed_tree import read_signed_tree
from vault.audit.log import LogEntry, digest_of

AUDIT = ExportedAudit.of(530)
FIRST = (1, 200, 257)
EARLIER = {first: read_signed_tree(AUDIT.checkpoint(first - 1), [VKEY]) for first in FIRST[1:]}
EXPORTS = {first: AUDIT.export(first) for first in FIRST}
exports = st.sampled_from(FIRST)


def is_found(first: int, lines: list[bytes]) -> bool:
    return bool(check_export(lines, [VKEY], EARLIER.get(first)).findings)


def test_what_is_unchanged_is_not_found() -> None:
    assert not any(is_found(first, EXPORTS[first]) for first in FIRST)


@given(exports, st.data())
@settings(max_examples=40)
def test_any_byte_is_found(first: int, data: st.DataObject) -> None:
    lines = [*EXPORTS[first]]
    number = data.draw(st.integers(0, len(lines) - 1) | st.just(0))
    line = bytearray(lines[number])
    at = data.draw(st.integers(0, len(line) - 1))
    match data.draw(st.sampled_from(("change", "insert", "delete"))):
        case "change":
            line[at] ^= data.draw(st.integers(1, 255))
        case "insert":
            line.insert(at, data.draw(st.integers(0, 255)))
        case _:
            del line[at]
    whole = b"".join([*lines[:number], bytes(line), *lines[number + 1 :]])
    changed = whole.splitlines(keepends=True)
    assert changed == lines or is_found(first, changed)


@given(exports, st.data())
@settings(max_examples=60)
def test_any_order_of_other_lines_is_found(first: int, data: st.DataObject) -> None:
    lines = EXPORTS[first]
    places = st.integers(1, len(lines) - 1)
    changed = [*lines]
    for _ in range(data.draw(st.integers(1, 3))):
        at, to = data.draw(places), data.draw(places)
        match data.draw(st.sampled_from(("swap", "copy", "delete", "head", "tail"))):
            case "swap" if max(at, to) < len(changed):
                changed[at], changed[to] = changed[to], changed[at]
            case "copy" if at < len(changed):
                changed.insert(to, changed[at])
            case "delete":
                del changed[min(at, to) : max(at, to)]
            case "head":
                del changed[1:at]
            case _:
                del changed[at:]
    assert changed == lines or is_found(first, changed)


@given(exports, st.data())
@settings(max_examples=60)
def test_any_content_is_found_however_much_is_recomputed(first: int, data: st.DataObject) -> None:
    lines = AUDIT.lines(first)
    at = data.draw(st.integers(0, len(lines) - 1))
    line, entry = lines[at], lines[at].entry
    assert entry is not None
    other = data.draw(st.sampled_from(("body", "mac", "number", "writer", "version", "other")))
    changed, body = entry, line.body
    match other:
        case "body":
            body = body.replace("allowed", "denied")
            changed = replace(entry, body_digest=digest_of(body))
        case "mac":
            changed = replace(entry, mac=bytes(32))
        case "number":
            body = body.replace('"number":', '"number":1')
            changed = replace(entry, number=int(f"1{entry.number}"), body_digest=digest_of(body))
        case "writer":
            changed = replace(entry, writer=type(entry.writer)(int=8))
        case "version":
            changed, body = replace(entry, body_digest=None), body.replace("allowed", "denied")
        case _:
            source = lines[data.draw(st.integers(0, len(lines) - 1))]
            if source == line or source.entry is None:
                return
            changed, body = replace(source.entry, position=line.position), source.body
    lines[at] = replace(line, entry=_with_leaf(changed, data), body=body)
    if data.draw(st.booleans()):
        lines = list(with_tiles(first, (replace(each, tile=None) for each in lines)))
    assert is_found(first, [EXPORTS[first][0], *(each.to_line().encode() for each in lines)])


@given(st.integers(2, 530), st.data())
@settings(max_examples=40)
def test_a_head_cut_off_with_its_peaks_is_found(first: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(first - 1, 530))
    assert is_found(1, AUDIT.export(first, size))


@given(st.integers(1, 529), st.booleans(), st.data())
@settings(max_examples=40)
def test_a_record_left_out_by_renumbering_the_rest_is_found(
    gone: int, leaves: bool, data: st.DataObject
) -> None:
    lines = AUDIT.lines()
    shifted: list[ExportLine] = []
    for line in lines[gone:]:
        assert line.entry is not None
        entry = replace(line.entry, position=line.position - 1)
        entry = replace(entry, leaf=entry.leaf_at(entry.position)) if leaves else entry
        shifted.append(replace(line, position=line.position - 1, entry=entry, tile=None))
    forged = with_tiles(1, [*lines[: gone - 1], *shifted])
    header = AUDIT.header(1, data.draw(st.sampled_from((529, 530)))).to_line().encode()
    assert is_found(1, [header, *(line.to_line().encode() for line in forged)])


def _with_leaf(entry: LogEntry, data: st.DataObject) -> LogEntry:
    return replace(entry, leaf=entry.leaf_at(entry.position)) if data.draw(st.booleans()) else entry
