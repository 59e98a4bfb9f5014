"""What differs between two policies: as lines for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from vault.model import Group, Principal
from vault.policy.diff import LATER, Access, FieldChange, HolderChange, LimitChange, PolicyDiff
from vault.policy.freezes import FreezeRule
from vault.policy.limits import Quota, window_text
from vault.policy.model import Policy

__all__ = ["diff_json", "diff_lines"]

_TOKENS = "other tokens: refused where the field is in use"
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def diff_lines(found: PolicyDiff, old: Policy, new: Policy) -> Iterator[str]:
    """Yields who gains (+) and loses (-) what, then what changes in fields, views and limits."""
    before, after = (frozenset(policy.fields) for policy in (old, new))
    for each in found.holders:
        yield _name(each.holder)
        yield from (f"  + {text}" for text in _rights(each.gains, after))
        yield from (f"  - {text}" for text in _rights(each.loses, before))
        yield from (f"  ! denied from now on: {text}" for text in _rights(each.denied, after))
        yield from (f"  ! denied no more: {text}" for text in _rights(each.undenied, before))
    yield from _section("fields", map(_field_line, found.fields))
    yield from _section(
        "views",
        (
            f"  ~ {each.field} {each.view} shows something else; read by "
            f"{', '.join(map(_name, each.readers)) or 'nobody'}"
            for each in found.views
        ),
    )
    yield from _section("limits, of each principal", map(_limit_line, found.limits))
    yield from _section(
        "freezes for touching honey tokens",
        (
            f"  ~ {_name(each.holder)}: {_freeze_rule(each.before)} -> {_freeze_rule(each.after)}"
            for each in found.freezes
        ),
    )
    if not found:
        yield "nobody gains or loses anything"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    listed = list(lines)
    if listed:
        yield title
        yield from listed


def _name(holder: Principal | Group) -> str:
    if isinstance(holder, Group):
        return f"{holder.issuer} {holder.claim}={holder.value} (for {holder.audience})"
    return str(holder)


def _rights(accesses: Collection[Access], fields: Collection[str]) -> Iterator[str]:
    """Yields rights that differ in their fields alone as one."""
    grouped: dict[tuple[str, ...], set[str]] = {}
    for each in sorted(accesses):
        view = (f"view {each.view}",) if each.view else ()
        conditions = tuple(f"{name} {value}" for name, value in each.conditions)
        grouped.setdefault((each.action, *view, *conditions), set()).add(each.field)
    for (action, *rest), names in grouped.items():
        yield ", ".join([f"{action} {_fields(names, fields)}".rstrip(), *rest])


def _fields(names: set[str], fields: Collection[str]) -> str:
    later, named = LATER in names, names - {LATER}
    if later and named == set(fields):
        return "every field"
    return " ".join([*sorted(named), *(["fields added later"] if later else [])])


def _field_line(change: FieldChange) -> str:
    sign = _SIGNS[change.change]
    if not change.key:
        return f"  {sign} {change.field}"
    note = f" ({_TOKENS})" if change.tokens else ""
    written = f"{_text(change.before)} -> {_text(change.after)}"
    return f"  {sign} {change.field} {change.key}: {written}{note}"


def _text(written: str | None) -> str:
    return "none" if written is None else written


def _limit_line(change: LimitChange) -> str:
    before, after = _quotas(change.before), _quotas(change.after)
    return f"  ~ {change.action} {change.field} {change.change}: {before} -> {after}"


def _quotas(quotas: Sequence[Quota]) -> str:
    texts = [f"{each.values:,} values per {window_text(each.seconds)}" for each in quotas]
    return " and ".join(texts) or "none"


def diff_json(found: PolicyDiff, old: Policy, new: Policy) -> str:
    """Returns all of it as one line."""
    document = {
        "old": {"file": old.source, "digest": old.digest},
        "new": {"file": new.source, "digest": new.digest},
        "differs": bool(found),
        "principals": [_holder(each) for each in found.holders],
        "fields": [
            {
                "field": each.field,
                "change": each.change,
                "key": each.key,
                "before": each.before,
                "after": each.after,
                "other_tokens": each.tokens,
            }
            for each in found.fields
        ],
        "views": [
            {"field": each.field, "view": each.view, "readers": [*map(_who, each.readers)]}
            for each in found.views
        ],
        "limits": [
            {
                "action": each.action,
                "field": each.field,
                "change": each.change,
                "before": [*map(_quota, each.before)],
                "after": [*map(_quota, each.after)],
            }
            for each in found.limits
        ],
        "freezes": [
            {
                "principal": _who(each.holder),
                "before": _freeze_entry(each.before),
                "after": _freeze_entry(each.after),
            }
            for each in found.freezes
        ],
    }
    return json.dumps(document, separators=(",", ":"))


def _holder(change: HolderChange) -> Mapping[str, object]:
    return {
        "principal": _who(change.holder),
        "gains": _accesses(change.gains),
        "loses": _accesses(change.loses),
        "denied": _accesses(change.denied),
        "denied_no_more": _accesses(change.undenied),
    }


def _who(holder: Principal | Group) -> Mapping[str, object]:
    """Returns a principal as the policy writes it."""
    if isinstance(holder, Group):
        return {"jwt": holder._asdict()}
    return {"spiffe": str(holder)}


def _accesses(accesses: Collection[Access]) -> list[Mapping[str, object]]:
    return [
        {
            "action": each.action,
            "field": each.field or None,
            **({"view": each.view} if each.view else {}),
            **dict(each.conditions),
        }
        for each in sorted(accesses)
    ]


def _freeze_rule(rule: FreezeRule | None) -> str:
    if rule is None:
        return "never"
    per = f" per {window_text(rule.seconds)}" if rule.seconds else ""
    return f"{rule.touches:,} {'touch' if rule.touches == 1 else 'touches'}{per}"


def _freeze_entry(rule: FreezeRule | None) -> Mapping[str, object] | None:
    if rule is None:
        return None
    per = {"per": window_text(rule.seconds)} if rule.seconds else {}
    return {"touches": rule.touches, **per}


def _quota(quota: Quota) -> Mapping[str, object]:
    return {"values": quota.values, "per": window_text(quota.seconds)}
