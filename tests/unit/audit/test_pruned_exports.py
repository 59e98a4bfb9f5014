"""An export of a pruned audit: missing bodies are taken only where a proved record says so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from tests.exported_audits import VKEY, ExportedAudit
from vault.audit.export.check import ExportReport, check_export
from vault.audit.export.gone import GonePositions
from vault.audit.export.lines import ExportLine
from vault.audit.export.signed_tree import read_signed_tree

AUDIT = ExportedAudit.of(600, prunings={400: 300, 500: 350})
GONE = "is missing, or was edited in the database"


def check(
    audit: ExportedAudit,
    gone: Collection[int],
    first: int = 1,
    lines: list[ExportLine] | None = None,
) -> ExportReport:
    earlier = read_signed_tree(audit.checkpoint(first - 1), [VKEY]) if first > 1 else None
    made = [
        replace(line, body="") if line.position in gone else line
        for line in (lines or audit.lines(first))
    ]
    text = [audit.header(first).to_line(), *(line.to_line() for line in made)]
    return check_export([line.encode() for line in text], [VKEY], earlier)


def found(report: ExportReport) -> list[str]:
    return [each.message for each in report.findings]


@pytest.mark.parametrize("first", [1, 100, 257])
def test_what_was_pruned_is_counted_and_nothing_is_wrong(first: int) -> None:
    kept = {1, 7, 299}
    gone = set(range(1, 351)) - kept
    report = check(AUDIT, gone, first)
    assert found(report) == []
    assert (report.pruned, report.records) == (len([at for at in gone if at >= first]), 601 - first)


def test_a_position_after_the_pruned_ones_is_missing() -> None:
    report = check(AUDIT, {*range(2, 351), 351, 360})
    assert found(report) == [f"the record at position {at} {GONE}" for at in (351, 360)]
    assert report.pruned == 349


def test_a_chain_s_opening_is_never_pruned() -> None:
    assert found(check(AUDIT, range(1, 300))) == [f"the record at position 1 {GONE}"]


def test_nothing_is_pruned_where_the_export_does_not_say_so() -> None:
    report = check(ExportedAudit.of(600), {5})
    assert (found(report), report.pruned) == ([f"the record at position 5 {GONE}"], 0)


def test_a_leaf_without_content_declares_nothing() -> None:
    # Whoever has no key cannot tell whether that body is the one that was logged.
    report = check(ExportedAudit.of(40, older=30, prunings={20: 10}), {5})
    assert (found(report), report.pruned) == ([f"the record at position 5 {GONE}"], 0)


def test_an_edited_declaration_declares_nothing() -> None:
    lines = AUDIT.lines()
    at = next(place for place, line in enumerate(lines) if line.position == 500)
    body = lines[at].body.replace('"position":350', '"position":499')
    lines[at] = replace(lines[at], body=body)
    messages = found(check(AUDIT, {310}, lines=lines))
    assert "the record at position 500 was edited" in messages
    assert f"the record at position 310 {GONE}" in messages


def test_positions_are_held_as_runs_of_which_the_oldest_become_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vault.audit.export.gone._MAX_RUNS", 3)
    gone = GonePositions()
    for position in (1, 2, 4, 6, 7, 8, 10, 12):
        gone.add(position)
    assert list(gone.after(0)) == [(1, 8, 6), (10, 10, 1), (12, 12, 1)]
    assert (gone.through(8), gone.through(10), gone.through(99)) == (6, 7, 8)
    # Where a joined run is cut nobody knows how many are on which side: none passes for pruned.
    assert (gone.through(5), next(gone.after(5))) == (0, (1, 8, 6))
    whole = GonePositions()
    for position in range(3, 9):
        whole.add(position)
    assert (whole.through(5), list(whole.after(5))) == (3, [(6, 8, 3)])
