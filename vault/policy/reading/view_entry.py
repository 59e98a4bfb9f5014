"""Reads a field's views: which part of a value each leaves readable."""

from __future__ import annotations

import re

from vault.formats import Format, HasParts, HasWords
from vault.policy.names import NAME, NAME_RULE
from vault.policy.reading.entry import Entry, did_you_mean, listed, quoted
from vault.policy.views import DEFAULT_MASK, INITIALS, RESERVED, View, built_in_views

__all__ = ["read_views"]

_KEYS = frozenset({"show", "show_first", "show_last", "mask", "write"})
_WRITES = "template"
_PART = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_MAX_WRITTEN = 512
_MAX_SHOWN = 10_000


def read_views(entry: Entry | None, form: Format | None, mask: Entry | None) -> dict[str, View]:
    """Returns the field's views by name, the built-in ones among them, as far as they can be read.

    Args:
        form: the field's format, or None where it has a problem of its own.
        mask: what hides characters in views that name nothing else.
    """
    default = _read_mask(mask) or DEFAULT_MASK
    views = dict(built_in_views(form, default)) if form else {}
    for name, each in entry.mapping().items() if entry else ():
        if not NAME.fullmatch(name):
            each.fail(f"a view's name {NAME_RULE}")
        if name in RESERVED:
            each.fail(f"{name!r} is built in and cannot be defined: choose another name")
        views[name] = _read_view(each, form, default)
    return views


def _read_view(entry: Entry, form: Format | None, default: str) -> View:
    before = entry.problems
    entries = entry.section(_KEYS)
    if "write" in entries:
        for key in entries.keys() - {"write"}:
            entries[key].fail("a view with 'write' has nothing else: remove it")
        return _read_write(entries["write"], form)
    first, last = [_read_count(entries.get(key)) for key in ("show_first", "show_last")]
    mask = _read_mask(entries.get("mask")) or default
    has_parts, has_words = _as_parts(form), _as_words(form)
    if "show" in entries:
        if first + last:
            entries["show"].fail("stands alone: remove 'show_first' and 'show_last'")
        parts = _read_parts(entries["show"], has_parts, has_words) if form else ()
        return View(mask=mask, parts=parts, form=has_parts, has_words=has_words)
    if entry.problems == before and first + last == 0:
        entry.fail(
            "shows nothing: set 'show', 'show_first' or 'show_last', or grant the view masked or "
            "token"
        )
    return View(first, last, mask, has_words=has_words)


def _read_count(entry: Entry | None) -> int:
    return (entry.integer(0, _MAX_SHOWN) if entry else None) or 0


def _read_mask(entry: Entry | None) -> str | None:
    mask = entry.text() if entry else None
    if entry is not None and mask is not None and not _is_mask(mask):
        entry.fail(
            "must be one visible character that is neither a letter nor a digit, "
            "so that a masked value is never taken for a real one"
        )
    return mask


def _read_write(entry: Entry, form: Format | None) -> View:
    text = entry.text() or ""
    has_parts = _as_parts(form)
    if form is not None and form.name != _WRITES:
        entry.fail("only values of a template can be rewritten: use 'show'")
        has_parts = None
    pieces = _PART.split(text)
    parts = pieces[1::2]
    if not parts:
        entry.fail("names no group of the template, as {serial}")
    if len(text) > _MAX_WRITTEN or any(
        each in "{}" or not each.isprintable() for each in _rest(pieces)
    ):
        entry.fail(f"is visible text of at most {_MAX_WRITTEN} characters, with groups as {{name}}")
    if has_parts is not None:
        for name in parts:
            if name not in has_parts.parts:
                entry.fail(_no_part(name, has_parts.parts))
        if set(parts) >= set(has_parts.parts):
            entry.fail("shows every part: grant the view full, or leave one out")
    return View(form=has_parts, write=tuple(pieces))


def _rest(pieces: list[str]) -> str:
    return "".join(pieces[::2])


def _as_parts(form: object) -> HasParts | None:
    return form if isinstance(form, HasParts) else None


def _as_words(form: object) -> HasWords | None:
    return form if isinstance(form, HasWords) else None


def _read_parts(entry: Entry, form: HasParts | None, has_words: HasWords | None) -> tuple[str, ...]:
    known = form.parts if form else (INITIALS,) if has_words else ()
    parts = [(each, each.text()) for each in entry.items()]
    for each, name in parts:
        if name is not None and name not in known:
            each.fail(_no_part(name, known))
    if len(known) > 1 and {name for _, name in parts} >= set(known):
        entry.fail("shows every part: grant the view full, or leave one out")
    return tuple([name for _, name in parts if name is not None])


def _no_part(name: str, known: tuple[str, ...]) -> str:
    return (
        f"the field's format has no part {quoted(name)}{did_you_mean(name, known)}; "
        f"{f'allowed: {listed(known)}' if known else 'it has none'}"
    )


def _is_mask(mask: str) -> bool:
    return len(mask) == 1 and mask.isprintable() and not mask.isspace() and not mask.isalnum()
