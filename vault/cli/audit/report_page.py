"""The report as one page of HTML: tables and charts, no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TypeVar

from vault.cli.audit.figures import OUTCOMES, Figures, Sum
from vault.cli.printable import without_controls

__all__ = ["report_page"]

Key = TypeVar("Key")
_MAX_ROWS = 500  # of a table
_MAX_BARS = 20
_MAX_DAYS = 400
_BAR, _GAP, _HEIGHT = 22, 6, 160
_WIDTH, _WIDEST = 1080, 44  # of charts, and of a day's column
_LEGEND = 26  # its height
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit report</title>
<style>
:root { color-scheme: light dark; --allowed: #2f7d4f; --denied: #c2410c; --failed: #7c7c7c; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .6rem; text-align: left; }
td { overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.n { width: 6.8rem; }
.warning { border: 2px solid var(--denied); padding: .6rem 1rem; }
.note, .none { color: #777; }
.allowed { fill: var(--allowed); } .denied { fill: var(--denied); } .failed { fill: var(--failed); }
svg { max-width: 100%; height: auto; } text { fill: currentColor; font-size: 12px; }
</style>
</head>
<body>
"""


def report_page(
    figures: Figures, period: str, filters: Sequence[str], made: datetime, log: str
) -> Iterator[str]:
    """Yields the page's parts. All that is not ours is escaped.

    Args:
        period: which time the records are of, for people.
        filters: what else was asked for.
        log: up to where the log was read.
    """
    yield _HEAD
    yield "<h1>Audit report</h1>\n"
    when = made.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    yield f"<p>{_safe(period)}. Made {when} UTC, from {_safe(log)}.</p>\n"
    if filters:
        yield f"<p>Only records with {_safe(', '.join(filters))}.</p>\n"
    if figures.pruned:
        yield f"<p>{figures.pruned:,} older records were pruned, and are in no figure.</p>\n"
    if figures.unreadable:
        yield (
            f'<p class="warning">{figures.unreadable:,} records are missing or were edited, and are'
            " in no figure: run <code>tokenvault audit verify</code>.</p>\n"
        )
    yield from _section("Calls by day (UTC)", "day", figures.days, _columns(figures.days))
    for title, name in (("callers", "who"), ("fields", "field"), ("purposes", "purpose")):
        sums = figures.by(name)
        head = {"who": "caller"}.get(name, name)
        yield from _section(f"Values shown, by {title}", head, sums, _bars(sums))
    yield "<h2>Callers, fields and purposes</h2>\n"
    rows = (((use.who, use.field, use.purpose), one) for use, one in _largest(figures.uses.items()))
    yield from _table(("caller", "field", "purpose"), rows, len(figures.uses))
    yield "</body>\n</html>\n"


def _section(title: str, head: str, sums: Mapping[str, Sum], chart: str) -> Iterator[str]:
    yield f"<h2>{title}</h2>\n{chart}"
    items = sorted(sums.items()) if head == "day" else _largest(sums.items())
    yield from _table((head,), (((name,), one) for name, one in items), len(sums))


def _table(
    heads: Sequence[str], rows: Iterable[tuple[Sequence[str], Sum]], count: int
) -> Iterator[str]:
    if not count:
        yield '<p class="none">No call.</p>\n'
        return
    cells = [f"<th>{head}</th>" for head in heads]
    cells += [f'<th class="n">{head}</th>' for head in (*OUTCOMES, "values shown")]
    yield f"<table>\n<tr>{''.join(cells)}</tr>\n"
    for (names, one), _ in zip(rows, range(_MAX_ROWS), strict=False):
        numbers = (*(one.calls[outcome] for outcome in OUTCOMES), one.values)
        cells = [f"<td>{_named(name)}</td>" for name in names]
        cells += [f'<td class="n">{number:,}</td>' for number in numbers]
        yield f"<tr>{''.join(cells)}</tr>\n"
    yield "</table>\n"
    if count > _MAX_ROWS:
        yield f'<p class="note">and {count - _MAX_ROWS:,} more</p>\n'


def _columns(days: Mapping[str, Sum]) -> str:
    """Draws a column a day, of its calls by outcome."""
    shown = sorted(days.items())[-_MAX_DAYS:]
    most = max((one.calls.total() for _, one in shown), default=0)
    if not most:
        return ""
    width = max(2, min(_WIDEST, _WIDTH // len(shown) - 1))
    parts = _legend()
    for number, (day, one) in enumerate(shown):
        top = float(_LEGEND + _HEIGHT)
        told = ", ".join(f"{one.calls[outcome]:,} {outcome}" for outcome in OUTCOMES)
        parts.append(f"<g><title>{_safe(day)}: {told}</title>")
        for outcome in OUTCOMES:
            tall = one.calls[outcome] * _HEIGHT / most
            top -= tall
            parts.append(
                f'<rect class="{outcome}" x="{number * (width + 1)}" y="{top:.1f}"'
                f' width="{width}" height="{tall:.1f}"/>'
            )
        parts.append("</g>")
    wide, under = len(shown) * (width + 1), _LEGEND + _HEIGHT + 16
    parts.append(_label(0, under, shown[0][0]))
    if wide > 300:
        parts.append(_label(wide - 72, under, shown[-1][0]))
    label = f"Calls by day, {most:,} at most"
    return _svg(max(wide, 420), under + 6, label, parts)


def _legend() -> list[str]:
    """Says which colour is which outcome."""
    parts = []
    for number, outcome in enumerate(OUTCOMES):
        left = number * 90
        parts.append(f'<rect class="{outcome}" x="{left}" y="2" width="12" height="12"/>')
        parts.append(_label(left + 18, 12, outcome))
    return parts


def _bars(sums: Mapping[str, Sum]) -> str:
    """Draws a bar for each of the largest."""
    shown = [each for each in _largest(sums.items()) if each[1].values][:_MAX_BARS]
    if not shown:
        return ""
    most, parts = shown[0][1].values, []
    for number, (name, one) in enumerate(shown):
        top = number * (_BAR + _GAP)
        wide = max(1.0, one.values * 560 / most)
        told = f"{name or 'none'}: {one.values:,}"
        parts.append(f"<g><title>{_safe(told)}</title>")
        parts.append(f'<rect class="allowed" x="0" y="{top}" width="{wide:.1f}" height="{_BAR}"/>')
        parts.append(_label(wide + 6, top + 15, told if len(told) <= 60 else f"{told[:59]}…"))
        parts.append("</g>")
    return _svg(_WIDTH, len(shown) * (_BAR + _GAP), "Values", parts)


def _svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg {size} role="img" aria-label="{_safe(label)}">{"".join(parts)}</svg>\n'


def _label(left: float, top: float, text: str) -> str:
    return f'<text x="{left:.1f}" y="{top}">{_safe(text)}</text>'


def _largest(items: Iterable[tuple[Key, Sum]]) -> list[tuple[Key, Sum]]:
    return sorted(items, key=lambda each: (-each[1].values, -each[1].calls.total(), str(each[0])))


def _named(name: str) -> str:
    return _safe(name) if name else '<span class="none">none</span>'


def _safe(text: str) -> str:
    return escape(without_controls(text))
