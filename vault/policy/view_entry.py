"""Reads a field's views: which part of a value each leaves readable."""

from __future__ import annotations

from vault.formats import Divided, Format
from vault.policy.entry import Entry, did_you_mean, listed, quoted
from vault.policy.format_entry import text_or_none, whole_or_none
from vault.policy.names import NAME, NAME_RULE
from vault.policy.views import RESERVED, View

__all__ = ["read_views"]

_KEYS = frozenset({"show", "show_first", "show_last", "mask"})


def read_views(entry: Entry | None, form: Format | None) -> dict[str, View]:
    """Returns the views by name, as far as they can be read.

    Args:
        form: the field's format, or None where it has a problem of its own.
    """
    if entry is None:
        return {}
    views: dict[str, View] = {}
    for name, each in entry.named().items():
        if not NAME.fullmatch(name):
            each.fail(f"a view's name {NAME_RULE}")
        if name in RESERVED:
            each.fail(f"{name!r} is built in and cannot be defined: choose another name")
        views[name] = _read_view(each, form)
    return views


def _read_view(entry: Entry, form: Format | None) -> View:
    before = entry.problems
    entries = entry.section(_KEYS)
    first = whole_or_none(entries.get("show_first"), 0) or 0
    last = whole_or_none(entries.get("show_last"), 0) or 0
    mask = text_or_none(entries.get("mask"))
    if mask is not None and not _is_mask(mask):
        entries["mask"].fail(
            "must be one visible character that is neither a letter nor a digit, "
            "so that a masked value is never taken for a real one"
        )
    if "show" in entries:
        if first + last:
            entries["show"].fail("stands alone: remove 'show_first' and 'show_last'")
        divided = _divided(form)
        parts = _read_parts(entries["show"], divided) if form else ()
        return View(mask=mask or "*", parts=parts, form=divided)
    if entry.problems == before and first + last == 0:
        entry.fail(
            "shows nothing: set 'show', 'show_first' or 'show_last', or grant the view token"
        )
    return View(first, last, mask if mask is not None else "*")


def _divided(form: object) -> Divided | None:
    return form if isinstance(form, Divided) else None


def _read_parts(entry: Entry, form: Divided | None) -> tuple[str, ...]:
    known = form.parts if form else ()
    parts = [(each, each.text()) for each in entry.items()]
    for each, name in parts:
        if name is not None and name not in known:
            each.fail(
                f"the field's format has no part {quoted(name)}{did_you_mean(name, known)}; "
                f"{f'allowed: {listed(known)}' if known else 'it has none'}"
            )
    if len(known) > 1 and {name for _, name in parts} >= set(known):
        entry.fail("shows every part: grant the view full, or leave one out")
    return tuple([name for _, name in parts if name is not None])


def _is_mask(mask: str) -> bool:
    return len(mask) == 1 and mask.isprintable() and not mask.isspace() and not mask.isalnum()
