"""Opens stored rows, for reading a value or checking whose a token is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hmac import compare_digest

from vault.crypto.field_key import FieldKey
from vault.errors import DecryptionFailed, Reason
from vault.formats.columnar.text_column import utf8_of
from vault.model import Failure, Scope, StoredToken, StoredTokens, TokenSpace, TokenState
from vault.service.deadline import in_time
from vault.service.ports import KeySource

__all__ = ["DECRYPTION_FAILED", "match_each", "matches_value", "open_each", "open_row"]

# One failure, word for word, for every ciphertext that does not open.
DECRYPTION_FAILED = Failure(Reason.DECRYPTION_FAILED, "decryption failed")

# How many rows are opened between two looks at the clock.
_AT_ONCE = 512


def open_row(keys: KeySource, space: TokenSpace, row: StoredToken) -> bytes:
    """Returns the value core behind a live row, as UTF-8. Raises DecryptionFailed."""
    key = keys.field_key(space, row.key_version)
    return key.open(row.ciphertext, scope=row.scope.value, token=row.token)


def matches_value(keys: KeySource, space: TokenSpace, row: StoredToken, core: str) -> bool:
    """Returns whether a token that the index led to is this value's.

    The index is only rows in a database; the ciphertext is bound to the token by its AAD,
    so whoever can edit rows cannot make one value answer with another's token.
    """
    try:
        return compare_digest(open_row(keys, space, row), core.encode())
    except DecryptionFailed:
        return False


def match_each(
    keys: KeySource,
    space: TokenSpace,
    scope: Scope,
    rows: StoredTokens,
    cores: Sequence[bytes],
    deadline: float | None = None,
) -> list[bool]:
    """Returns ``matches_value`` of each row and the core in UTF-8 that it was found by.

    Two rows of one value, where the index has lost its key, are not to be believed, neither of
    them.

    Args:
        cores: by the positions that ``rows.at`` has.

    Raises:
        Unavailable: DEADLINE_EXCEEDED.
    """
    opened = open_each(keys, space, scope, rows, deadline)
    asked = [cores[at] for at in rows.at]
    values = [value for value in opened if value is not None]
    alone = len(set(rows.at)) == len(rows)
    if alone and len(values) == len(asked) and _all_equal(values, asked):
        return [True] * len(asked)
    found = Counter(rows.at)
    return [
        value is not None and compare_digest(value, core) and found[at] == 1
        for value, core, at in zip(opened, asked, rows.at, strict=True)
    ]


def _all_equal(values: Sequence[bytes], cores: Sequence[bytes]) -> bool:
    """Returns whether each is the other's, in the time that their lengths take."""
    return list(map(len, values)) == list(map(len, cores)) and compare_digest(
        b"".join(values), b"".join(cores)
    )


def open_each(
    keys: KeySource,
    space: TokenSpace,
    scope: Scope,
    rows: StoredTokens,
    deadline: float | None = None,
) -> list[bytes | None]:
    """Returns the value core behind each row, as UTF-8; None for what is dead or does not open.

    Args:
        scope: the field's, to which its rows are bound.

    Raises:
        Unavailable: DEADLINE_EXCEEDED.
    """
    tokens = utf8_of(rows.tokens)
    opened: list[bytes | None] = [None] * len(rows)
    for version, indexes in _by_version(rows).items():
        try:
            key = keys.field_key(space, version)
        except DecryptionFailed:
            continue
        if len(indexes) == len(rows):
            return _opened(key, scope, rows.ciphertexts, tokens, deadline)
        ciphertexts = [rows.ciphertexts[index] for index in indexes]
        own = [tokens[index] for index in indexes]
        values = _opened(key, scope, ciphertexts, own, deadline)
        for index, value in zip(indexes, values, strict=True):
            opened[index] = value
    return opened


def _opened(
    key: FieldKey,
    scope: Scope,
    ciphertexts: Sequence[bytes],
    tokens: Sequence[bytes],
    deadline: float | None,
) -> list[bytes | None]:
    opened: list[bytes | None] = []
    for start in in_time(range(0, len(tokens), _AT_ONCE), deadline):
        part = slice(start, start + _AT_ONCE)
        opened += key.open_each(ciphertexts[part], scope=scope.value, tokens=tokens[part])
    return opened


def _by_version(rows: StoredTokens) -> Mapping[int, Sequence[int]]:
    """Returns the indexes of each version's live rows; mostly all rows are of one version."""
    versions = set(rows.key_versions)
    if len(versions) == 1 and rows.states.count(TokenState.LIVE) == len(rows):
        return dict.fromkeys(versions, range(len(rows)))
    indexes: defaultdict[int, list[int]] = defaultdict(list)
    # Not whether there is a ciphertext: a tombstone that was forged, or restored, may have one.
    for index, (version, state) in enumerate(zip(rows.key_versions, rows.states, strict=True)):
        if state is TokenState.LIVE:
            indexes[version].append(index)
    return indexes
