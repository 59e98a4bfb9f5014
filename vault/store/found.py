"""What a look-up found, by column.

No object per row: of ten thousand tuples, and what takes them apart, the garbage collector's
walks alone cost a quarter of a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from psycopg.pq.abc import PGresult

from vault.model import StoredTokens, TokenState

__all__ = ["NO_TOKENS", "TOMBSTONES", "only", "state_of", "stored_tokens"]

NO_TOKENS = StoredTokens((), (), (), (), ())
TOMBSTONES = frozenset((TokenState.EXPIRED, TokenState.ERASED))
_STATES: dict[str | None, TokenState] = {
    each.value: each for each in TokenState if each is not TokenState.DAMAGED
}


def state_of(stored: str | None) -> TokenState:
    """Returns a row's state; DAMAGED for what is none."""
    return _STATES.get(stored, TokenState.DAMAGED)


def stored_tokens(asked: Sequence[bytes], result: PGresult) -> StoredTokens:
    """Reads rows of what they were found by, if that is not the token, and what opens them.

    Args:
        asked: distinct; what the rows were to be found by.
    """
    value = result.get_value
    rows: Sequence[int] = range(result.ntuples)
    if not rows:
        return NO_TOKENS
    places = {key: at for at, key in enumerate(asked)}
    try:
        at = [places[value(row, 0) or b""] for row in rows]
    except KeyError:
        # By a collation that is not ours: what was not asked for is not answered.
        rows = [row for row in rows if value(row, 0) in places]
        at = [places[value(row, 0) or b""] for row in rows]
    token = result.nfields - 4
    ciphertexts = [value(row, token + 1) or b"" for row in rows]
    return StoredTokens(
        at=at,
        tokens=[(value(row, token) or b"").decode() for row in rows],
        ciphertexts=ciphertexts,
        key_versions=_versions([value(row, token + 2) or b"" for row in rows]),
        states=_states(result, rows, token + 3, ciphertexts),
    )


def only(found: StoredTokens, wanted: Sequence[bool]) -> StoredTokens:
    """Returns the rows that are wanted."""
    return StoredTokens(
        list(compress(found.at, wanted)),
        list(compress(found.tokens, wanted)),
        list(compress(found.ciphertexts, wanted)),
        list(compress(found.key_versions, wanted)),
        list(compress(found.states, wanted)),
    )


def _versions(column: Sequence[bytes]) -> Sequence[int]:
    numbers = {encoded: int.from_bytes(encoded, signed=True) for encoded in set(column)}
    if len(numbers) == 1:  # as mostly
        return list(numbers.values()) * len(column)
    return [numbers[encoded] for encoded in column]


def _states(
    result: PGresult, rows: Sequence[int], column: int, ciphertexts: Sequence[bytes]
) -> Sequence[TokenState]:
    states = [TokenState.LIVE] * len(rows)
    if all(ciphertexts):  # as mostly
        return states
    for at, (row, ciphertext) in enumerate(zip(rows, ciphertexts, strict=True)):
        stored = None if ciphertext else result.get_value(row, column)
        if stored is not None:
            states[at] = state_of(stored.decode())
    return states
