"""The report: what it adds up, and that nothing in it is the callers' own HTML."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vault.cli.audit.figures import Figures, Use
from vault.cli.audit.report_page import report_page
from vault.client import Client
from vault.v1.audit_service_pb2 import AuditFilter, AuditRecord, TailAuditResponse

Invoke = Callable[..., tuple[int, str, str]]
MADE = datetime(2026, 11, 28, 1, 2, 3, tzinfo=UTC)
HOSTILE = "</td><script>alert(1)</script><img src=x onerror='x'>\x1b\x00\"&"


def call(**entries: object) -> AuditRecord:
    body = {
        "kind": "call",
        "time": "2026-11-27T23:59:59.000000+00:00",
        "outcome": "allowed",
        "principal": "spiffe://example.org/etl",
        "rpc": "Detokenize",
        "field": "us_ssn",
        "purpose": "",
        "counts": {"ok": 3, "TOKEN_NOT_FOUND": 1},
    }
    return AuditRecord(position=1, body=json.dumps({**body, **entries}))


def page(figures: Figures) -> str:
    return "".join(report_page(figures, "All times", ["field us_ssn"], MADE, "positions 1 to 9"))


class Reader(HTMLParser):
    """Notes all tags and attributes, and the text of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self._in_cell = tag in ("td", "span")
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells[-1] += data


def test_calls_and_values_add_up() -> None:
    figures = Figures()
    for record in (
        call(),
        call(purpose="fraud", person={"issuer": "i", "claim": "email", "value": "ann@x"}),
        call(outcome="denied", counts={}, time="2026-11-28T00:00:00+00:00"),
        call(outcome="failed", counts={"ok": 9}),
        call(rpc="*", purpose="no certificate", outcome="denied", counts={"REFUSED": 4}),
        AuditRecord(position=6, body='{"kind":"opened"}'),
        AuditRecord(position=7),
    ):
        figures.feed(record)
    assert (figures.records, figures.unreadable) == (7, 1)
    etl = figures.uses[Use("spiffe://example.org/etl", "us_ssn", "")]
    assert (etl.calls, etl.values) == ({"allowed": 1, "denied": 2, "failed": 1}, 3)
    assert {name: one.values for name, one in figures.by("who").items()} == {
        "spiffe://example.org/etl": 3,
        "ann@x": 3,
    }
    assert {day: one.calls.total() for day, one in figures.days.items()} == {
        "2026-11-27": 4,
        "2026-11-28": 1,
    }
    assert set(figures.by("purpose")) == {"", "fraud"}


def test_values_are_those_that_callers_were_shown() -> None:
    figures = Figures()
    for rpc in ("Detokenize", "DetokenizeColumn", "Decrypt", "Tokenize", "TailAudit", "Erase"):
        figures.feed(call(rpc=rpc))
    assert sum(one.values for one in figures.uses.values()) == 9
    assert sum(one.calls.total() for one in figures.uses.values()) == 6


def test_the_page_has_the_sums_and_says_what_is_missing() -> None:
    figures = Figures()
    figures.feed(call(purpose="fraud"))
    figures.feed(AuditRecord(position=2))
    text = page(figures)
    cells = Reader(text).cells
    assert cells[-7:] == ["spiffe://example.org/etl", "us_ssn", "fraud", "1", "0", "0", "3"]
    assert "1 records are missing or were edited" in text
    assert "Only records with field us_ssn" in text


def test_nothing_of_a_caller_is_markup() -> None:
    figures = Figures()
    plain = page(figures)
    for name in ("principal", "field", "purpose", "time", "outcome"):
        figures.feed(call(**{name: HOSTILE}))
    figures.feed(call(person={"value": HOSTILE}))
    text = page(figures)
    read = Reader(text)
    ours = {"table", "tr", "th", "td", "svg", "g", "rect", "text", "span"}
    assert read.tags - Reader(plain).tags <= ours
    assert not {name for name in read.attributes if name.startswith(("on", "src", "href"))}
    assert "<script" not in text
    assert not set(text) & {"\x1b", "\x00"}
    assert "default-src 'none'" in text


def test_an_empty_audit_is_a_page_too() -> None:
    assert "No call." in page(Figures())


def test_long_tables_end() -> None:
    figures = Figures()
    for number in range(700):
        figures.feed(call(purpose=f"p{number}", time=f"{1500 + number}-01-01T00:00:00+00:00"))
    text = page(figures)
    assert "and 200 more" in text
    assert text.count("<tr>") < 5 * 505


def test_the_command_writes_the_page(
    invoke: Invoke, tmp_path: Path, pem_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for name, content in pem_files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
        files.append(f"--{name}={tmp_path / name}")
    records = [call(purpose="fraud"), AuditRecord(position=2)]
    asked: list[object] = []

    def tail_audit(_: Client, *arguments: object, **options: object) -> TailAuditResponse:
        asked.append(options.get("wanted"))
        return TailAuditResponse(records=records, next=3, last=2)

    monkeypatch.setattr(Client, "tail_audit", tail_audit)
    output = tmp_path / "report.html"
    command = ("audit", "report", "-o", str(output), "--address=localhost:1", *files)
    given = ("--purpose", "fraud", "--person", "ann@x", "--grant", "8c1f")
    code, out, _ = invoke(*command, "--since", "2026-11-27", *given)
    assert code == 1
    assert out.startswith(f"2 records reported in {output}\n1 of them are missing")
    text = output.read_text()
    assert "From 2026-11-27 00:00:00 UTC" in text
    assert "Only records with purpose fraud, person ann@x, grant 8c1f" in text
    (first, *_) = asked
    assert isinstance(first, AuditFilter)
    assert (list(first.persons), list(first.grants)) == (["ann@x"], ["8c1f"])
    del records[1]
    assert invoke(*command)[0] == 0
    assert asked[-1] is None


def test_pruned_records_are_told_and_are_no_fault() -> None:
    figures = Figures()
    figures.feed(AuditRecord(position=1, pruned=True))
    figures.feed(call())
    assert (figures.pruned, figures.unreadable, figures.records) == (1, 0, 2)
    assert "1 older records were pruned, and are in no figure" in page(figures)
