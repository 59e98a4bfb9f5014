"""Comparing freezes with their MACs, and with what the audit says was frozen, lifted and touched.

A MAC shows a row that was written by hand. One that was put back, or removed, is older than a
record of its change, or counts fewer touches than the records of the calls that made them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Connection, text

from vault.audit.chain import FindingKind, KeyOf
from vault.audit.json_text import read_json
from vault.audit.pruning.declaration import NOTHING_TOUCHED
from vault.audit.record import Record
from vault.crypto.key_versions import verifies_under
from vault.model import FreezeTarget, Person
from vault.service.audit import Finding
from vault.service.freezes.rows import is_genuine
from vault.service.honey.alarm import read_touched
from vault.service.ports import FreezeRow

__all__ = ["FreezeCheck"]

_MAX_FINDINGS = 1000
# What the body of a record of a change has.
_MARK = '"freeze":{'
_TOUCHED = '"touched":"'
# A touch is counted within a second or so of its record, where the database answers.
_UNCOUNTED = timedelta(minutes=1)
_NOW = text("SELECT clock_timestamp()")
_ROWS = text(
    "SELECT tenant, kind, name, frozen, changed, touched, document, key_version, mac"
    " FROM freezes ORDER BY tenant, kind, name"
)


@dataclass(frozen=True, slots=True)
class _Place:
    tenant: str
    target: FreezeTarget


class FreezeCheck:
    """Checks the freezes beside a verification; in memory is a time for each.

    Raises what the driver raises, KeysUnavailable.
    """

    def __init__(self, connection: Connection, key_of: KeyOf) -> None:
        self._connection = connection
        self._key_of = key_of
        self._changed: dict[_Place, datetime] = {}
        self._touches: defaultdict[_Place, list[tuple[datetime, int]]] = defaultdict(list)

    def inspect(self, records: Iterator[Record]) -> Iterator[Record]:
        """Passes records on, and notes what each says of a freeze."""
        for record in records:
            body = record.body
            if _MARK in body or (_TOUCHED in body and NOTHING_TOUCHED not in body):
                self._note(body)
            yield record

    def findings(self) -> list[Finding]:
        """Returns what was found, once all records have passed."""
        found: list[Finding] = []
        until = self._connection.execute(_NOW).scalar_one() - _UNCOUNTED
        for columns in self._connection.execute(_ROWS, execution_options={"yield_per": 1000}):
            row = _row(tuple(columns))
            place = _Place(row.tenant, FreezeTarget(row.kind, row.name))
            changed = self._changed.pop(place, None)
            if not self._genuine(row):
                found.append(_finding(FindingKind.FORGED_ROW, place, "was not written by a server"))
            elif changed is not None and (row.changed is None or row.changed < changed):
                what = "is older than a record of its change: it was put back"
                found.append(_finding(FindingKind.ROLLED_BACK, place, what))
            else:
                touches = self._touched(place, row.changed, until)
                if row.touched < touches:
                    what = f"counts {row.touched:,} touches, and records {touches:,}"
                    found.append(_finding(FindingKind.ROLLED_BACK, place, what))
            self._touches.pop(place, None)
        gone = {place for place in self._touches if self._touched(place, None, until)}
        found += [
            _finding(FindingKind.ROLLED_BACK, place, "is gone") for place in {*self._changed, *gone}
        ]
        return found[:_MAX_FINDINGS]

    def _touched(self, place: _Place, since: datetime | None, until: datetime) -> int:
        """Returns what records say was touched since the last change, the latest left out."""
        touches = self._touches.get(place, ())
        return sum(
            count for time, count in touches if time < until and (since is None or time > since)
        )

    def _genuine(self, row: FreezeRow) -> bool:
        return verifies_under(self._key_of, row.key_version, lambda key: is_genuine(key, row))

    def _note(self, body: str) -> None:
        try:
            document = read_json(body)
            match document:
                case {
                    "outcome": "allowed",
                    "tenant": str(tenant),
                    "freeze": {"kind": str(kind), "name": str(name), "changed": str(changed)},
                }:
                    place, time = _Place(tenant, FreezeTarget(kind, name)), _time(changed)
                    self._changed[place] = max(time, self._changed.get(place, time))
                case {
                    "tenant": str(tenant),
                    "principal": str(principal),
                    "time": str(time_text),
                    "touched": str(touched),
                    **others,
                }:
                    place = _Place(tenant, _target(principal, others.get("person")))
                    touches = sum(read_touched(touched).values())
                    self._touches[place].append((_time(time_text), touches))
        except ValueError:
            return  # the check of its chain says what is wrong with it


def _target(principal: str, person: object) -> FreezeTarget:
    match person:
        case {"issuer": str(issuer), "claim": str(claim), "value": str(value)}:
            return FreezeTarget.of_person(Person(issuer, claim, value))
    return FreezeTarget.of_principal(principal)


def _time(text_: str) -> datetime:
    time = datetime.fromisoformat(text_)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time


def _row(columns: tuple[object, ...]) -> FreezeRow:
    return FreezeRow(
        *cast("tuple[str, str, str, bool, datetime | None, int, str, int, bytes]", columns)
    )


def _finding(kind: FindingKind, place: _Place, what: str) -> Finding:
    name = json.dumps(place.target.name)[1:-1]
    return Finding("", 0, kind.value, f"the freeze of the {place.target.kind} {name} {what}")
