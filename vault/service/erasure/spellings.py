"""EraseSpellings: erases the tokens of values in every spelling, with or without an index.

A blind index leads to one spelling, and whoever owns the database can remove its rows. What
is found without it is found by opening every row, so a call works through one page of them.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import key_version_of
from vault.errors import DecryptionFailed, InvalidRequest
from vault.formats import Format, HasSpellings, token_recogniser
from vault.model import Action, Failure, Storage, StoredToken, TokenSpace, TokenState
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.columns import parse_column
from vault.service.erasure.tombstones import tombstone, with_tokens
from vault.service.ports import KeySource, Transaction
from vault.service.results import outcome_counts

__all__ = ["SpellingPage", "SpellingService"]

R = TypeVar("R")

_LABEL = b"tokenvault/v1/spellings-page"
_PAGE = 40_000  # live tokens looked at in one call
_STEP = 4_000  # rows held at once
# Of the time that a call has left: the rest is for erasing what was found.
_SHARE = 0.4
_WITH_VALUES = (TokenState.LIVE, TokenState.DAMAGED)


@dataclass(frozen=True, slots=True)
class SpellingPage:
    """The result of one page.

    Attributes:
        total: number of values.
        found: live tokens of each value that has any here, by index.
        failures: the values that did not parse, by index.
        following: the next page's token, empty at the end.
        tokens: live tokens found, each counted once.
        looked_at: live tokens looked at.
    """

    total: int
    found: Mapping[int, int]
    failures: Mapping[int, Failure]
    following: bytes
    tokens: int
    looked_at: int


@dataclass(frozen=True, slots=True, repr=False)
class _Scan:
    """The rows of a page that match, by what identifies them. Hidden from ``repr``."""

    rows: Mapping[str, StoredToken]
    identities: Mapping[str, str]
    last: str
    looked_at: int


class SpellingService:
    """The use case of those who erase by value and mean every spelling.

    Args:
        page: most live tokens looked at in one call.
    """

    def __init__(self, admission: Admission, keys: KeySource, page: int = _PAGE) -> None:
        self._admission = admission
        self._keys = keys
        self._page = page

    def erase(
        self,
        call: Call,
        field: str,
        values: Sequence[str],
        finish: Callable[[SpellingPage], R],
        *,
        count_only: bool = False,
        page_token: bytes = b"",
    ) -> R:
        """Looks through the next page of a field, and erases or counts what it finds.

        The caller's limits are charged for the first page. Finishes as ``Admission.carry_out``.
        Raises InvalidRequest for a page token of other values.
        """
        permit = self._admission.admit_field(call, Action.ERASE, field)

        def work(transaction: Transaction) -> SpellingPage:
            _check(permit, values)
            after = self._read_page(permit.space, page_token, values, count_only)
            return self._look(transaction, permit, values, after, count_only)

        items = 0 if page_token else len(values)
        return self._admission.carry_out(permit, items, work, finish)

    def _look(
        self,
        transaction: Transaction,
        permit: FieldPermit,
        values: Sequence[str],
        after: str,
        count_only: bool,
    ) -> SpellingPage:
        form = permit.field.format
        column = parse_column(values, form.parse, parse_token=token_recogniser(form))
        identities = [_identity(form, core) for core in column.cores]
        scan = self._scan(transaction, permit, frozenset(identities), after)
        live = scan.rows
        if not count_only and live:
            rows = transaction.tokens.lock_by_token(permit.space, list(live))
            live = {token: row for token, row in rows.items() if row.state in _WITH_VALUES}
            tombstone(
                transaction.tokens, self._keys, permit.space, TokenState.ERASED, live.values()
            )
        event = replace(
            permit.event,
            counts=outcome_counts(column.size, column.failures),
            touched=self._admission.touched(permit, live),
        )
        event = with_tokens(event, self._keys, live.values(), live.keys())
        transaction.audit.append(event, () if count_only else live.keys())
        counts = Counter(scan.identities[token] for token in live)
        found = {
            index: counts[identities[slot]]
            for index, slot, _ in column.items
            if counts[identities[slot]]
        }
        following = self._page_token(permit.space, scan.last, values, count_only)
        return SpellingPage(
            column.size, found, column.failures, following, len(live), scan.looked_at
        )

    def _scan(
        self,
        transaction: Transaction,
        permit: FieldPermit,
        wanted: Collection[str],
        after: str,
    ) -> _Scan:
        """Opens the rows after a token; ``last`` is empty where none is left."""
        space = permit.space
        end = _moment(permit.caller.deadline)
        found: dict[str, StoredToken] = {}
        identities: dict[str, str] = {}
        looked_at = 0
        while looked_at < self._page and (end is None or not looked_at or time.monotonic() < end):
            step = min(_STEP, self._page - looked_at)
            rows = transaction.tokens.live_after(space, after, step)
            looked_at += len(rows)
            for row in rows:
                identity = self._identity(permit, row)
                if identity in wanted:
                    found[row.token], identities[row.token] = row, identity
            after = rows[-1].token if len(rows) == step else ""
            if not after:
                break
        return _Scan(found, identities, after, looked_at)

    def _identity(self, permit: FieldPermit, row: StoredToken) -> str:
        """Returns a row's identity; empty, which no value has, where the row does not open.

        By what the ciphertext is bound to alone: whoever damages the rest of a row must not
        keep its value from being erased.
        """
        try:
            key = self._keys.field_key(permit.space, key_version_of(row.ciphertext))
            scope = permit.field.scope.value
            core = key.open(row.ciphertext, scope=scope, token=row.token).decode()
        except DecryptionFailed:
            return ""
        return _identity(permit.field.format, core)

    # -- pages ------------------------------------------------------------------------

    def _page_token(
        self, space: TokenSpace, last: str, values: Sequence[str], count_only: bool
    ) -> bytes:
        """Seals where to go on: it is a token, which the caller need not know.

        Bound to the values, as only the first page is charged to limits.
        """
        if not last:
            return b""
        context = _context(values, count_only)
        return self._keys.for_encryption(space, 1).encrypt(last.encode(), context)

    def _read_page(
        self, space: TokenSpace, page_token: bytes, values: Sequence[str], count_only: bool
    ) -> str:
        if not page_token:
            return ""
        after = self._opened(space, page_token, _context(values, count_only))
        if not after:
            raise InvalidRequest(
                "page_token: not of this field, these values and count_only; begin without one"
            )
        return after

    def _opened(self, space: TokenSpace, page_token: bytes, context: bytes) -> str:
        try:
            key = self._keys.field_key(space, key_version_of(page_token))
            return key.decrypt(page_token, context).decode()
        except DecryptionFailed:
            return ""


def _identity(form: Format, core: str) -> str:
    return form.spelling_key(core) if isinstance(form, HasSpellings) else core


def _context(values: Sequence[str], count_only: bool) -> bytes:
    parts = length_prefixed(*(value.encode("utf-8", "surrogatepass") for value in values))
    return length_prefixed(
        _LABEL, b"\x01" if count_only else b"\x00", hashlib.sha256(parts).digest()
    )


def _moment(deadline: float | None) -> float | None:
    now = time.monotonic()
    return None if deadline is None else now + (deadline - now) * _SHARE


def _check(permit: FieldPermit, values: Sequence[str]) -> None:
    if not values:
        raise InvalidRequest("name the values that are to be looked for")
    if permit.field.storage is Storage.VAULTLESS:
        raise InvalidRequest("nothing is stored of this field (vaultless): nothing to erase")
