"""An export is checked with the public key alone, and what was changed is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.exported_audits import KEY, ORIGIN, VKEY, ExportedAudit
from vault.audit.export.check import check_export
from vault.audit.export.lines import ExportLine
from vault.audit.export.signed_tree import read_signed_tree, read_vkeys
from vault.audit.log import digest_of
from vault.audit.tlog.note import NoteKey
from vault.crypto.field_key import MacKey

AUDIT = ExportedAudit.of(600)
EXPORT = AUDIT.export()
Lines = list[bytes]


def found(lines: Lines, earlier: str = "") -> list[tuple[str, str]]:
    known = read_signed_tree(earlier, [VKEY]) if earlier else None
    return [(each.kind, each.message) for each in check_export(lines, [VKEY], known).findings]


def edited(line: bytes, *, leaf: bool = False) -> ExportLine:
    """Another body than was logged, with the digest that belongs to it."""
    read = ExportLine.from_line(line.decode())
    assert read.entry is not None
    body = read.body.replace("allowed", "denied")
    entry = replace(read.entry, body_digest=digest_of(body))
    entry = replace(entry, leaf=entry.leaf_at(read.position)) if leaf else entry
    return replace(read, entry=entry, body=body)


@pytest.mark.parametrize("first", [1, 2, 256, 257, 300, 512, 513, 600])
@pytest.mark.parametrize("size", [600, 512, 513])
def test_an_export_as_it_was_written(first: int, size: int) -> None:
    if first > size + 1:
        return
    earlier = read_signed_tree(AUDIT.checkpoint(first - 1), [VKEY]) if first > 1 else None
    report = check_export(AUDIT.export(first, size), [VKEY], earlier)
    assert report.findings == []
    assert (report.first, report.records) == (first, size - first + 1)
    assert report.tree is not None
    assert (report.tree.origin, report.tree.size, report.tree.time[:10]) == (
        ORIGIN,
        size,
        "2026-11-28",
    )


@pytest.mark.parametrize("known", [1, 255, 256, 257, 512, 599, 600])
def test_an_export_continues_an_earlier_checkpoint(known: int) -> None:
    assert found(EXPORT, AUDIT.checkpoint(known)) == []


def test_nothing_new_is_an_export_too() -> None:
    assert found(AUDIT.export(601), AUDIT.checkpoint(600)) == []
    assert found(ExportedAudit.of(0).export()) == []


def test_records_of_before_version_2_are_counted() -> None:
    audit = ExportedAudit.of(20, older=7)
    report = check_export(audit.export(), [VKEY])
    assert (report.findings, report.unproved, report.last_unproved) == ([], 7, 7)
    assert check_export(EXPORT, [VKEY]).unproved == 0


def test_an_edited_body_is_named() -> None:
    lines = [*EXPORT]
    lines[7] = lines[7].replace(b"allowed", b"denied")
    assert found(lines) == [("EDITED", "the record at position 7 was edited")]


def test_an_edited_body_with_its_digest_is_named() -> None:
    lines = [*EXPORT]
    lines[300] = edited(lines[300]).to_line().encode()
    assert found(lines) == [("EDITED", "position 300 of the log was edited")]


def test_an_edited_body_with_digest_and_leaf_is_named_by_its_tile() -> None:
    lines = [*EXPORT]
    lines[300] = edited(lines[300], leaf=True).to_line().encode()
    assert found(lines) == [
        ("EDITED", "positions 257 to 512 of the log are not what was integrated")
    ]
    # A second one elsewhere is named as well.
    lines[7] = edited(lines[7]).to_line().encode()
    assert len(found(lines)) == 2


def test_all_recomputed_shows_in_the_root() -> None:
    changed = replace(AUDIT, records=[*AUDIT.records], entries=[*AUDIT.entries])
    line = edited(EXPORT[300], leaf=True)
    assert line.entry is not None
    changed.entries[299] = line.entry  # type: ignore[index]
    changed.records[299] = replace(AUDIT.records[299], body=line.body)  # type: ignore[index]
    lines = [EXPORT[0], *changed.export()[1:]]
    everything = ("EDITED", "positions 1 to 600 of the log are not what the checkpoint is of")
    assert found(lines) == [everything]
    assert found(lines, AUDIT.checkpoint(299)) == [everything]
    assert len(found(lines, AUDIT.checkpoint(300))) == 2


@pytest.mark.parametrize("gone", [slice(1, 2), slice(7, 8), slice(256, 257), slice(250, 520)])
def test_deleted_records_are_named(gone: slice) -> None:
    lines = [*EXPORT]
    del lines[gone]
    first, last = gone.start, gone.stop - 1
    what = (
        f"position {first} of the log is"
        if first == last
        else (f"positions {first} to {last} of the log are")
    )
    assert found(lines) == [("DELETED", f"{what} missing")]


def test_a_truncated_tail_is_named() -> None:
    assert found(EXPORT[:400]) == [
        ("TRUNCATED", "positions 400 to 600 of the log are missing at the end")
    ]
    assert found(EXPORT[:-1]) == [("TRUNCATED", "position 600 of the log is missing at the end")]
    earlier = found(AUDIT.export(1, 400), AUDIT.checkpoint(500))
    assert earlier == [
        (
            "TRUNCATED",
            "positions 401 to 500 of the log are missing at the end, by the checkpoint given",
        )
    ]


def test_a_truncated_head_is_named_and_needs_its_checkpoint() -> None:
    lines = AUDIT.export(300)
    (finding,) = found(lines)
    assert finding[0] == "TRUNCATED"
    assert finding[1].startswith("positions 1 to 299 of the log are not in the export")
    assert found(lines, AUDIT.checkpoint(298))[0][1].startswith("position 299 of the log is not")
    assert found(lines, AUDIT.checkpoint(299)) == []


def test_another_history_before_the_export_is_named() -> None:
    other = ExportedAudit.of(600, older=1)
    assert found(AUDIT.export(300), other.checkpoint(299)) == [
        ("EDITED", "the log's first 299 entries are not those of the checkpoint given")
    ]


def test_copies_and_records_from_elsewhere_are_named() -> None:
    assert found([*EXPORT[:8], EXPORT[7], *EXPORT[8:]]) == [
        ("INSERTED", "position 7 of the log stands there again")
    ]
    assert found([*AUDIT.export(1, 500), EXPORT[501]]) == [
        ("INSERTED", "position 501 is beyond the checkpoint's 500")
    ]


def test_reordered_records_are_named() -> None:
    lines = [*EXPORT]
    lines[7], lines[9] = lines[9], lines[7]
    assert ("REORDERED", "position 7 of the log stands after position 9") in found(lines)


def test_records_that_change_places_are_named() -> None:
    lines = [*EXPORT]
    seventh, ninth = (ExportLine.from_line(lines[at].decode()) for at in (7, 9))
    lines[7] = replace(ninth, position=7).to_line().encode()
    lines[9] = replace(seventh, position=9).to_line().encode()
    assert found(lines) == [
        ("EDITED", "position 7 of the log was edited"),
        ("EDITED", "position 9 of the log was edited"),
    ]


def test_what_the_service_found_missing_is_named() -> None:
    lines = [*EXPORT]
    gone = ExportLine.from_line(lines[7].decode())
    lines[7] = replace(gone, body="").to_line().encode()
    text = "the record at position 7 is missing, or was edited in the database"
    assert found(lines) == [("DELETED", text)]
    lines[7] = ExportLine(7, None, "").to_line().encode()
    assert found(lines) == [("DELETED", "position 7 of the log is missing")]


def other_key(lines: Lines) -> Lines:
    header = replace(AUDIT.header(), checkpoint=AUDIT.checkpoint(600, MacKey(1, b"2" * 32)))
    return [header.to_line().encode(), *lines[1:]]


def other_origin(lines: Lines) -> Lines:
    header = replace(AUDIT.header(), checkpoint=AUDIT.checkpoint(600, KEY, "tokenvault/other"))
    return [header.to_line().encode(), *lines[1:]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other_key, "its signature is not of the public key"),
        (other_origin, "it is of another log, 'tokenvault/other'"),
        (lambda lines: lines[1:], "the first line is not that of an export"),
        (lambda _: [], "the first line is not that of an export"),
        (lambda lines: [b"\xff\n", *lines], "the first line is not that of an export"),
        (lambda lines: [lines[0].replace(b" ", b""), *lines[1:]], "no checkpoint, or was changed"),
    ],
)
def test_an_export_that_nobody_signed_is_refused(
    change: Callable[[Lines], Lines], told: str
) -> None:
    report = check_export(change(EXPORT), [VKEY])
    assert report.tree is None
    ((kind, message),) = [(each.kind, each.message) for each in report.findings]
    assert kind == "EDITED"
    assert told in message


def test_a_key_of_another_log_is_no_key() -> None:
    other = NoteKey("tokenvault/other", KEY.signing.public)
    (finding,) = check_export(EXPORT, [other]).findings
    assert f"another log, '{ORIGIN}'" in finding.message
    earlier = read_signed_tree(AUDIT.checkpoint(3, KEY, "tokenvault/other"), [other])
    (finding,) = check_export(EXPORT, [VKEY, other], earlier).findings
    assert "the checkpoint given is of another log" in finding.message


def test_public_keys_are_read_as_they_are_printed() -> None:
    assert read_vkeys(f"{VKEY.to_vkey()}\n\n{VKEY.to_vkey()}\n") == [VKEY, VKEY]
    for wrong in ("", "\n", "x", f"{VKEY.to_vkey()}x"):
        with pytest.raises(ValueError, match=r"."):
            read_vkeys(wrong)


def test_a_line_has_one_spelling() -> None:
    line = EXPORT[7].decode()
    assert ExportLine.from_line(line).to_line() == line
    for other in (
        line.replace(":", ": ", 1),
        line[:-1],
        line.replace("\n", "\r\n"),
        json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")) + "\n",
        line.replace('{"position"', '{"position":1,"position"'),
        line.replace('"number":7', '"number":true'),
        line.replace('"number":7', '"number":7.0'),
        line.replace('"mac":"', '"mac":" '),
    ):
        assert other != line
        with pytest.raises(ValueError, match=r"."):
            ExportLine.from_line(other)


@pytest.mark.parametrize("at", [1, 96, 255, 257, 600])
def test_a_tile_where_none_ends_is_named(at: int) -> None:
    lines = [*EXPORT]
    lines[at] = replace(ExportLine.from_line(lines[at].decode()), tile=bytes(32)).to_line().encode()
    assert found(lines) == [
        ("EDITED", f"position {at} has no hash of its tile, or one that it cannot have")
    ]
