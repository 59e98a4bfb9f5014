"""Reads what a rule asks of a call: purposes and tickets."""

from __future__ import annotations

from collections.abc import Mapping

from vault.model import Action
from vault.policy.conditions import Conditions
from vault.policy.names import NAME, NAME_RULE
from vault.policy.reading.entry import Entry, listed
from vault.policy.reading.name_lists import read_names
from vault.policy.roles import JUSTIFIED
from vault.policy.ticket_pattern import TicketPattern

__all__ = ["CONDITION_KEYS", "check_conditions", "read_conditions"]

CONDITION_KEYS = frozenset({"purposes", "ticket"})


def read_conditions(entries: Mapping[str, Entry], purposes: Mapping[str, str] | None) -> Conditions:
    """Returns the conditions of a rule; what is wrong is recorded.

    Args:
        entries: the rule's.
        purposes: those that the file describes, or None where it has no such section.
    """
    ticket = entries.get("ticket")
    return Conditions(
        purposes=_read_purposes(entries.get("purposes"), purposes),
        ticket=_read_ticket(ticket) if ticket else None,
    )


def check_conditions(
    entries: Mapping[str, Entry], allow: frozenset[Action], deny: frozenset[Action]
) -> None:
    """Records the conditions that a rule of these actions cannot have."""
    for key in sorted(CONDITION_KEYS & entries.keys()):
        others = allow - JUSTIFIED
        if deny:
            entries[key].fail("a deny asks nothing of a call: put it in a rule of its own")
        elif others:
            entries[key].fail(
                f"{listed(others)}: answers no values, so nobody asks what it is for: "
                "put it in a rule of its own"
            )


def _read_purposes(entry: Entry | None, described: Mapping[str, str] | None) -> frozenset[str]:
    if described is not None:
        return read_names(entry, described, "purpose")
    names: set[str] = set()
    for each in entry.items() if entry else ():
        name = each.text()
        if name is None:
            continue
        if not NAME.fullmatch(name):
            each.fail(f"a purpose's name {NAME_RULE}")
        if name in names:
            each.fail("this purpose is in the list twice: keep one of them")
        names.add(name)
    return frozenset(names)


def _read_ticket(entry: Entry) -> TicketPattern | None:
    text = entry.text()
    if text is None:
        return None
    try:
        return TicketPattern(text)
    except ValueError as error:
        entry.fail(str(error))
    return None
