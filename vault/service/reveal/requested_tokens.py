"""The tokens of requests: adding them, and finding a request that has them already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from vault.errors import InvalidRequest
from vault.service.ports import RevealStore
from vault.service.reveal.model import Reveal, State
from vault.service.reveal.rows import RevealRows, Tokens, each_digest, part_of

__all__ = ["RequestedTokens"]

_MAX_TOKENS = 100_000
_COVERING = 20
"""How many of the requester's own are looked through for one that covers a new request."""


class RequestedTokens:
    """Reads and adds to the tokens of requests, within one transaction."""

    def __init__(self, rows: RevealRows) -> None:
        self._rows = rows

    def added(
        self, store: RevealStore, reveal: Reveal, cores: Sequence[str]
    ) -> tuple[Reveal, dict[int, Tokens]]:
        """Returns a draft with more tokens, and every part that they are in."""
        wanted: dict[int, Tokens] = {}
        for digest in each_digest(self._rows.digests(reveal, cores)):
            wanted.setdefault(part_of(digest, len(reveal.spent)), {})[digest] = 0
        stored = store.parts(reveal.tenant, reveal.id, sorted(wanted)) if wanted else {}
        added = 0
        for number, tokens in wanted.items():
            row = stored.get(number)
            before = {} if row is None else self._rows.read_part(reveal, row)
            added += len(tokens.keys() - before.keys())
            wanted[number] = {**before, **tokens}
        if reveal.tokens + added > _MAX_TOKENS:
            raise InvalidRequest(f"a reveal is of at most {_MAX_TOKENS:,} tokens: split it")
        return replace(reveal, tokens=reveal.tokens + added), wanted

    def covering(
        self, store: RevealStore, reveal: Reveal, parts: dict[int, Tokens], now: datetime
    ) -> Reveal | None:
        """Returns an open or granted request of the same that covers this one, if any."""
        # A draft's tokens of earlier calls are in parts that this call has not read.
        mine = self._all_tokens(store, reveal, parts)
        rows = store.of_principal(reveal.tenant, reveal.principal, _COVERING)
        for other in self._rows.genuine(row for row in rows if row.id != reveal.id):
            if _alike(other, reveal, now):
                theirs = self._all_tokens(store, other, {})
                left = {digest for digest, count in theirs.items() if count < other.times}
                if other.times >= reveal.times and mine.keys() <= left:
                    return other
        return None

    def _all_tokens(self, store: RevealStore, reveal: Reveal, known: dict[int, Tokens]) -> Tokens:
        rows = store.parts(reveal.tenant, reveal.id, range(len(reveal.spent)))
        tokens: Tokens = {}
        for number in range(len(reveal.spent)):
            if number in known:
                tokens |= known[number]
            elif number in rows:
                tokens |= self._rows.read_part(reveal, rows[number])
        return tokens


def _alike(one: Reveal, other: Reveal, now: datetime) -> bool:
    same = all(
        getattr(one, name) == getattr(other, name)
        for name in (
            "field",
            "view",
            "shows",
            "purpose",
            "ticket",
            "person",
            "digest_version",
            "action",
            "break_glass",
        )
    )
    return same and one.state_at(now) in (State.OPEN, State.GRANTED)
