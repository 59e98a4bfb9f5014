"""Reads what a rule asks of a call, and what is answered where it is not met."""

from __future__ import annotations

from collections.abc import Mapping

from vault.model import Action, OnDenied
from vault.policy.conditions import Conditions
from vault.policy.names import NAME, NAME_RULE
from vault.policy.networks import Network, network_of
from vault.policy.reading.approval_entries import APPROVAL_KEYS, read_approvals
from vault.policy.reading.budget_entry import read_budget
from vault.policy.reading.entry import Entry, listed
from vault.policy.reading.hours_entry import read_hours
from vault.policy.reading.name_lists import read_names
from vault.policy.roles import JUSTIFIED
from vault.policy.ticket_pattern import TicketPattern

__all__ = ["CONDITION_KEYS", "check_conditions", "read_conditions"]

# What each asks makes no sense where no value is answered, and so why it is refused there.
_OF_VALUES = {
    "purposes": "so nobody asks what it is for",
    "ticket": "so nobody asks what it is for",
    "budget": "so there are none to count: see 'limits'",
    "receipt": "so there is nothing to give a receipt of",
}
CONDITION_KEYS = _OF_VALUES.keys() | {"networks", "hours", "on_denied"} | APPROVAL_KEYS


def read_conditions(entries: Mapping[str, Entry], purposes: Mapping[str, str] | None) -> Conditions:
    """Returns the conditions of a rule; what is wrong is recorded.

    Args:
        entries: the rule's.
        purposes: those that the file describes, or None where it has no such section.
    """
    ticket, hours, on_denied, receipt = (
        entries.get(key) for key in ("ticket", "hours", "on_denied", "receipt")
    )
    return Conditions(
        purposes=_read_purposes(entries.get("purposes"), purposes),
        ticket=_read_ticket(ticket) if ticket else None,
        networks=_read_networks(entries.get("networks")),
        hours=read_hours(hours) if hours else None,
        budget=read_budget(entries.get("budget")),
        on_denied=(on_denied.choice(OnDenied) if on_denied else None) or OnDenied.ERROR,
        approvals=read_approvals(entries),
        receipt=(receipt.boolean() if receipt else None) or False,
    )


def check_conditions(
    entries: Mapping[str, Entry], allow: frozenset[Action], deny: frozenset[Action]
) -> None:
    """Records the conditions that a rule of these actions cannot have."""
    # A request for a reveal answers no item, whatever becomes of it.
    if "on_denied" in entries and allow - {Action.REQUEST_REVEAL} != {Action.DETOKENIZE}:
        entries["on_denied"].fail(
            "only detokenize is sent tokens, of which something else can be answered: put it in "
            "a rule of its own"
        )
    for key in sorted((CONDITION_KEYS - {"on_denied"}) & entries.keys()):
        others = allow - JUSTIFIED
        if deny:
            entries[key].fail("a deny asks nothing of a call: put it in a rule of its own")
        elif others and key in _OF_VALUES:
            entries[key].fail(
                f"{listed(others)}: answers no values, {_OF_VALUES[key]}: "
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


def _read_networks(entry: Entry | None) -> frozenset[Network]:
    networks: set[Network] = set()
    for each in entry.items() if entry else ():
        network = _read_network(each)
        if network in networks:
            each.fail("this range is in the list twice: keep one of them")
        if network is not None:
            networks.add(network)
    return frozenset(networks)


def _read_network(entry: Entry) -> Network | None:
    text = entry.text()
    if text is None:
        return None
    try:
        network = network_of(text)
    except ValueError:
        entry.fail(
            "must be a range of addresses in CIDR notation, such as 10.0.0.0/8 or 2001:db8::/32, "
            "with no bit set after its prefix"
        )
        return None
    if network.is_multicast or network.is_unspecified:
        entry.fail("no caller comes from such an address: name a range that callers are of")
    return network


def _read_ticket(entry: Entry) -> TicketPattern | None:
    text = entry.text()
    if text is None:
        return None
    try:
        return TicketPattern(text)
    except ValueError as error:
        entry.fail(str(error))
    return None
