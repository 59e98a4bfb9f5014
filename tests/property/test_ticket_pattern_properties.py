"""Ticket patterns accept what Python's regular expressions accept, and never take long."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from vault.policy.ticket_pattern import MAX_TICKET, TicketPattern

LEAVES = st.sampled_from(["a", "b", "0", "-", "\\.", "\\d", "\\w", "[ab]", "[^a]", "[a-c0]", "."])
REPEATS = st.sampled_from(["?", "*", "+", "{1}", "{2}", "{0,2}", "{1,3}", "{2,}"])


def wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, REPEATS).map(lambda each: f"({each[0]}){each[1]}"),
    )


PATTERNS = st.recursive(LEAVES, wider, max_leaves=8)
TICKETS = st.text("ab0-.c", min_size=1, max_size=8)


@given(PATTERNS, st.lists(TICKETS, min_size=1, max_size=20))
def test_it_accepts_what_regular_expressions_do(text: str, tickets: list[str]) -> None:
    reference = re.compile(text, re.ASCII)
    try:
        pattern = TicketPattern(text)
    except ValueError as error:
        # Or no ticket is long enough for it, or it is too long itself.
        assert reference.fullmatch("") or re.search("at most 64|too long|longer than", str(error))
        return
    for ticket in tickets:
        assert pattern.matches(ticket) == bool(reference.fullmatch(ticket))


@given(st.text("ab\\d.[]^$(){}|?*+-,0129 \n", max_size=40))
def test_no_text_crashes_the_reader(text: str) -> None:
    try:
        pattern = TicketPattern(text)
    except ValueError as error:
        assert str(error)
    else:
        assert not re.compile(text, re.ASCII).fullmatch("")
        assert pattern.text == text


@given(st.text(min_size=MAX_TICKET, max_size=MAX_TICKET))
def test_a_pattern_that_makes_others_backtrack_is_quick(ticket: str) -> None:
    # With Python's own, one ticket of this length takes longer than the universe has been there.
    pattern = TicketPattern("(([a-z0-9]+)+)+(\\.(([a-z0-9]+)+)+){2}!")
    assert not pattern.matches("a" * MAX_TICKET)
    assert pattern.matches(ticket) in (True, False)
