"""Using a grant: checked under its lock, and charged in the transaction of the reveal.

Locks are taken in one order by every call: limits, budgets, the grant, its tokens, the audit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from threading import Lock
from typing import TypeAlias, TypeVar
from uuid import UUID

from vault.errors import Denied, Reason
from vault.model import AuditEvent
from vault.policy.model import Field
from vault.policy.views import RESERVED
from vault.service.admission import Admission, FieldPermit
from vault.service.ports import KeySource, RevealPartRow, RevealStore, Transaction
from vault.service.reveal.lifecycle import check_grant
from vault.service.reveal.model import Reveal
from vault.service.reveal.rows import Refused, RevealRows
from vault.service.reveal.showings import parts_of, shown
from vault.uuids import read_uuid

__all__ = ["Grants", "HeldGrant", "name_of_ciphertext", "shown_by"]

T = TypeVar("T")
R = TypeVar("R")
_MAX_LAYOUTS = 10_000
_LONGEST = 256  # characters of a token that is looked up before it is known to be one

_Layout: TypeAlias = tuple[int, int]
# Of a grant, and fixed since its first token: the version of its digests' key, and how many parts
# it has.


class _Layouts:
    """The layouts of the grants that this process saw: of the latest ones.

    They only let a call ask for the right parts: what it is answered is checked all the same.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._layouts: OrderedDict[tuple[str, str], _Layout] = OrderedDict()

    def of(self, tenant: str, grant: str) -> _Layout | None:
        with self._lock:
            return self._layouts.get((tenant, grant))

    def note(self, tenant: str, grant: str, layout: _Layout) -> None:
        with self._lock:
            self._layouts[tenant, grant] = layout
            self._layouts.move_to_end((tenant, grant))
            if len(self._layouts) > _MAX_LAYOUTS:
                self._layouts.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What is known of a call's tokens before its grant is locked."""

    layout: _Layout
    tokens: frozenset[str] = field(repr=False)
    digests: bytes = field(repr=False)
    numbers: Sequence[int]


class Grants:
    """Carries out calls under the grants that they name."""

    def __init__(self, admission: Admission, keys: KeySource, refused: Refused) -> None:
        self._admission = admission
        self._rows = RevealRows(keys, refused)
        self._layouts = _Layouts()

    def carry_out(
        self,
        permit: FieldPermit,
        items: int,
        work: Callable[[Transaction, AuditEvent, HeldGrant | None], T],
        finish: Callable[[T], R],
        tokens: Iterable[str] = (),
    ) -> R:
        """Runs an admitted call's work, under a grant where the call names one.

        Args:
            tokens: what the grant will probably be charged: its parts come with its lock.
            work: takes the call's record so far, and the grant, locked and checked, which it
                must charge; None where none is named.
            finish: as in ``Admission.carry_out``, which this is otherwise.
        """
        if not permit.justification.grant:
            return self._admission.carry_out(
                permit, items, lambda transaction: work(transaction, permit.event, None), finish
            )
        event = noted = permit.event
        ahead = self._admission.attempt(permit, lambda: self._ahead(permit, tokens))

        def is_charged_already(transaction: Transaction) -> bool:
            nonlocal event
            charged = self._has_own_budget(transaction.reveals, permit)
            event = replace(permit.event, budget=None) if charged else permit.event
            return charged

        def under_grant(transaction: Transaction) -> T:
            nonlocal noted
            noted = event
            grant = self._lock(transaction.reveals, permit, ahead)
            noted = replace(event, grant=str(grant.id), break_glass=grant.break_glass)
            grant.check(permit)
            return work(transaction, noted, grant)

        return self._admission.carry_out(
            permit, items, under_grant, finish, lambda: noted, is_charged_already
        )

    def _has_own_budget(self, store: RevealStore, permit: FieldPermit) -> bool:
        """Returns whether a call's values were charged to a budget when they were asked for.

        Budgets are charged before the grant is locked, so it is only looked at: that a reveal was
        granted in an emergency never changes. Asked of no other rules: it costs a statement.
        """
        if all(each.break_glass is None for each in permit.approvals):
            return False
        wanted = read_uuid(permit.justification.grant)
        row = None if wanted is None else store.find(permit.caller.tenant, wanted)
        return row is not None and self._rows.read(row, row.id).break_glass

    def _ahead(self, permit: FieldPermit, tokens: Iterable[str]) -> _Ahead | None:
        """Returns what tokens are in a grant that this server knows, None where it does not."""
        layout = self._layouts.of(permit.caller.tenant, permit.justification.grant)
        distinct = frozenset(tokens) if layout is not None else frozenset()
        # Nothing was parsed yet: a long one makes room for as much of every other.
        if layout is None or max(map(len, distinct), default=0) > _LONGEST:
            return None
        version, parts = layout
        digests = self._rows.digests_of(permit.space, permit.action, version, distinct)
        return _Ahead(layout, distinct, digests, parts_of(digests, parts)) if digests else None

    def _lock(self, store: RevealStore, permit: FieldPermit, ahead: _Ahead | None) -> HeldGrant:
        """Locks and returns the grant that a call names. Raises Denied, StoreUnavailable."""
        wanted = read_uuid(permit.justification.grant)
        if wanted is None:
            raise _unknown()
        found = store.lock_with_parts(permit.caller.tenant, wanted, ahead.numbers if ahead else ())
        if found is None:
            raise _unknown()
        row, now, parts = found
        reveal = self._rows.read(row, wanted)
        caller = permit.caller
        if (str(caller.principal), caller.person) != (reveal.principal, reveal.person):
            raise _unknown()
        layout = reveal.digest_version, len(reveal.spent)
        self._layouts.note(caller.tenant, permit.justification.grant, layout)
        known = ahead if ahead is not None and ahead.layout == layout else None
        return HeldGrant(store, self._rows, reveal, now, known, parts)


class HeldGrant:
    """A grant of the caller's, locked to the end of the transaction."""

    def __init__(
        self,
        store: RevealStore,
        rows: RevealRows,
        reveal: Reveal,
        now: datetime,
        ahead: _Ahead | None,
        parts: Mapping[int, RevealPartRow],
    ) -> None:
        self._store = store
        self._now = now
        self._rows = rows
        self._reveal = reveal
        self._ahead = ahead
        self._parts = parts

    @property
    def id(self) -> UUID:
        """The reveal's id."""
        return self._reveal.id

    @property
    def break_glass(self) -> bool:
        """Whether nobody approved it."""
        return self._reveal.break_glass

    def check(self, permit: FieldPermit) -> None:
        """Raises Denied unless the grant is good now, and for what the call asks."""
        _check_bounds(self._reveal, permit)
        check_grant(self._reveal, permit.approvals, self._now)

    def charge(self, tokens: Iterable[str]) -> int:
        """Charges one showing of each distinct token; returns how many those are.

        Raises Denied where one is not the grant's, or was shown as often as may be; the
        transaction must then end without a commit.
        """
        reveal = self._reveal
        digests, numbers = self._placed(frozenset(tokens))
        if not digests:
            return 0
        stored = self._parts
        if any(number not in stored for number in numbers):
            stored = self._store.parts(reveal.tenant, reveal.id, numbers)
        parts = [stored[number] for number in numbers if number in stored]
        for part in parts:
            self._rows.check_part(reveal, part)
        counted = shown(parts, digests, reveal.times)
        spent = list(reveal.spent)
        for part, added in zip(parts, counted.added, strict=True):
            spent[part.part] += added
        self._reveal = replace(reveal, spent=tuple(spent))
        changed = self._rows.with_spent(parts, counted.spent)
        self._store.update(self._rows.written(self._reveal), changed)
        return counted.tokens

    def _placed(self, tokens: frozenset[str]) -> tuple[bytes, Sequence[int]]:
        """Returns the tokens' digests, and the numbers of the parts that they are in."""
        if self._ahead is not None and self._ahead.tokens == tokens:
            return self._ahead.digests, self._ahead.numbers
        digests = self._rows.digests(self._reveal, tokens)
        return digests, parts_of(digests, len(self._reveal.spent))


def name_of_ciphertext(ciphertext: bytes) -> str:
    """Returns what stands for a ciphertext among the tokens of a reveal."""
    return sha256(ciphertext).hexdigest()


def shown_by(field: Field, view: str) -> str:
    """Returns what a view shows, so that another one of that name can be told from it."""
    return view if view in RESERVED else repr(field.views[view])


def _check_bounds(reveal: Reveal, permit: FieldPermit) -> None:
    asked = permit.justification
    pairs = (
        ("action", reveal.action, permit.action),
        ("field", reveal.field, permit.field.name),
        ("view", reveal.view, permit.view),
        ("purpose", reveal.purpose, asked.purpose),
        ("ticket", reveal.ticket, asked.ticket),
    )
    for what, granted, wanted in pairs:
        if granted != wanted:
            raise Denied(f"the grant is for another {what}", reason=Reason.GRANT_INVALID)
    if shown_by(permit.field, permit.view) != reveal.shows:
        raise Denied(
            "the policy has changed what this view shows: request the reveal again",
            reason=Reason.GRANT_INVALID,
        )


def _unknown() -> Denied:
    # Of somebody else's, nobody learns that it is there.
    return Denied("there is no such grant of yours", reason=Reason.GRANT_INVALID)
