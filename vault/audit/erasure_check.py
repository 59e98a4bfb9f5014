"""Comparing the lists of erased tokens with their records, and with the tokens themselves."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from secrets import randbelow, token_bytes
from uuid import UUID

from sqlalchemy import Connection, text

from vault.audit.chain import FindingKind, KeyOf, is_genuine_record
from vault.audit.erasures import ErasureList
from vault.audit.record import Record
from vault.errors import AuditUnavailable, Reason
from vault.service.audit import Finding

__all__ = ["ErasureCheck", "check_again", "sample_erasures"]

_FETCH = 100  # lists held at once
_BATCH = 10_000  # tokens looked up at once
_MAX_FINDINGS = 1000
_SAMPLED_LISTS, _SAMPLED_TOKENS = 3, 300

# What a record's body has where there is a list. An edited body that no longer has it is
# found by its chain.
_MARK = '"erasure":"'
_COLUMNS = "e.writer, e.number, e.key_version, e.tenant, e.field, e.salt, e.sealed"
_LISTS = text(f"SELECT {_COLUMNS} FROM audit_erasures e ORDER BY writer, number")  # noqa: S608
_SOME = text(f"""
SELECT {_COLUMNS} FROM (
    (SELECT * FROM audit_erasures WHERE salt >= :salt ORDER BY salt LIMIT :most)
    UNION ALL
    (SELECT * FROM audit_erasures ORDER BY salt LIMIT :most)
) e LIMIT :most
""")  # noqa: S608 - constants only
_THESE = text(f"""
SELECT {_COLUMNS} FROM unnest(CAST(:writers AS uuid[]), CAST(:numbers AS bigint[]))
     AS u (writer, number)
JOIN audit_erasures e USING (writer, number)
""")  # noqa: S608 - constants only
# Of tokens in the order they come in, the place and the state where it is no tombstone's.
_NOT_TOMBSTONES = text("""
SELECT u.at, t.state
FROM unnest(CAST(:tenants AS text[]), CAST(:fields AS text[]), CAST(:tokens AS text[]))
     WITH ORDINALITY AS u (tenant, field, token, at)
LEFT JOIN LATERAL (
    SELECT state FROM tokens t
    WHERE t.tenant = u.tenant AND t.field = u.field AND t.token = u.token
    LIMIT 1) t ON true
WHERE coalesce(t.state, 'live') = 'live'
""")
_PLANS = text("SELECT set_config('enable_seqscan', 'off', true)")


class ErasureCheck:
    """Checks every list against its record and every token in it, beside a verification.

    Records and lists are both read whole and put together here: which are checked is not left
    to what runs in the database. In memory are a few lists at a time. Raises what the driver
    raises, AuditUnavailable at ``deadline``, KeysUnavailable.
    """

    def __init__(
        self, connection: Connection, key_of: KeyOf, deadline: float | None = None
    ) -> None:
        self._connection = connection
        self._key_of = key_of
        self._deadline = deadline
        self._pending = _PendingLookups()
        self._findings: list[Finding] = []
        self._lists = self._stream()
        self._next = next(self._lists, None)
        self._records: Iterator[Record] = iter(())

    def inspect(self, records: Iterator[Record]) -> Iterator[Record]:
        """Passes the records on, by writer and number, and checks each."""
        self._records = self._check_each(records)
        return self._records

    def findings(self) -> list[Finding]:
        """Returns what was found, once all records have passed."""
        for _ in self._records:
            pass
        while self._next is not None:
            self._check(None, self._take_list())
        self._findings += self._pending.check(self._connection)
        return self._findings[:_MAX_FINDINGS]

    def _check_each(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            record_id = (record.writer, record.number)
            while self._next is not None and (self._next.writer, self._next.number) < record_id:
                self._check(None, self._take_list())
            kept = self._next
            here = kept is not None and (kept.writer, kept.number) == record_id
            marked = _MARK in record.body
            if here or marked:
                self._check(record if marked else None, self._take_list() if here else None)
            yield record

    def _take_list(self) -> ErasureList | None:
        kept, self._next = self._next, next(self._lists, None)
        return kept

    def close(self) -> None:
        """Closes the lists that are still being read."""
        self._lists.close()

    def _stream(self) -> Generator[ErasureList, None, None]:
        streamed = self._connection.execute(_LISTS, execution_options={"yield_per": _FETCH})
        self._connection.execute(_PLANS)
        with streamed as rows:
            for count, row in enumerate(rows):
                if count % _FETCH == 0:
                    _refuse_late(self._deadline)
                yield ErasureList(*row)

    def _check(self, record: Record | None, kept: ErasureList | None) -> None:
        if len(self._findings) >= _MAX_FINDINGS:
            return
        tokens = None if kept is None else kept.tokens(self._key_of)
        self._findings += _compare(record, kept, tokens is not None, self._key_of)
        if kept is not None and tokens is not None:
            self._pending.add(kept, tokens)
        if len(self._pending.tokens) >= _BATCH:
            self._findings += self._pending.check(self._connection)


def sample_erasures(connection: Connection, key_of: KeyOf) -> list[Finding]:
    """Checks some of the tokens of a few lists, others each time. Raises as the above."""
    connection.execute(_PLANS)
    rows = connection.execute(_SOME, {"salt": token_bytes(16), "most": _SAMPLED_LISTS})
    return _check_lists(connection, [ErasureList(*row) for row in rows], key_of, _SAMPLED_TOKENS)


def check_again(
    connection: Connection, key_of: KeyOf, records: Sequence[tuple[UUID, int]]
) -> list[Finding]:
    """Checks all tokens of the lists of these records. Raises as the above."""
    connection.execute(_PLANS)
    writers, numbers = [str(writer) for writer, _ in records], [number for _, number in records]
    rows = connection.execute(_THESE, {"writers": writers, "numbers": numbers})
    return _check_lists(connection, [ErasureList(*row) for row in rows], key_of, None)


def _check_lists(
    connection: Connection, lists: Sequence[ErasureList], key_of: KeyOf, most: int | None
) -> list[Finding]:
    findings = []
    pending = _PendingLookups()
    for kept in lists:
        tokens = kept.tokens(key_of)
        if tokens is None:
            findings.append(_edited(kept.writer, kept.number))
        else:
            start = randbelow(len(tokens) or 1)
            pending.add(kept, [*tokens[start:], *tokens[:start]][:most])
    return findings + pending.check(connection)


@dataclass
class _PendingLookups:
    """Tokens that are to be looked up together, and the list that each is of."""

    tokens: list[str] = field(default_factory=list, repr=False)
    lists: list[ErasureList] = field(default_factory=list)

    def add(self, kept: ErasureList, tokens: Sequence[str]) -> None:
        self.tokens += tokens
        self.lists += [kept] * len(tokens)

    def check(self, connection: Connection) -> list[Finding]:
        """Looks the tokens up, and forgets them."""
        if not self.tokens:
            return []
        parameters = {
            "tenants": [kept.tenant for kept in self.lists],
            "fields": [kept.field for kept in self.lists],
            "tokens": self.tokens,
        }
        seen: Counter[tuple[UUID, int, bool]] = Counter()
        fields: dict[tuple[UUID, int], str] = {}
        for at, state in connection.execute(_NOT_TOMBSTONES, parameters):
            kept = self.lists[at - 1]
            fields[kept.writer, kept.number] = kept.field
            seen[kept.writer, kept.number, state is not None] += 1
        self.tokens, self.lists = [], []
        return [_found(*key, fields[key[:2]], count) for key, count in seen.items()]


def _compare(
    record: Record | None, kept: ErasureList | None, opens: bool, key_of: KeyOf
) -> Iterator[Finding]:
    if kept is not None and not opens:
        yield _edited(kept.writer, kept.number)
    elif kept is not None and record is None:
        text_ = "a list of erased tokens whose record names none, or is gone"
        yield Finding(str(kept.writer), kept.number, FindingKind.INSERTED.value, text_)
    elif record is not None and is_genuine_record(key_of, record):  # else its chain says so
        digest = _stated_digest(record.body)
        if kept is not None and digest != kept.digest:
            yield _edited(record.writer, record.number)
        elif kept is None and digest:
            text_ = "the list of the tokens that this call erased is gone"
            yield Finding(str(record.writer), record.number, FindingKind.DELETED.value, text_)


def _stated_digest(body: str) -> str:
    match json.loads(body):
        case {"erasure": str(digest)}:
            return digest
    return ""


def _found(writer: UUID, number: int, live: bool, field_name: str, count: int) -> Finding:
    tokens = "1 token" if count == 1 else f"{count:,} tokens"
    if live:
        text_ = (
            f"{tokens} of {field_name} that this call erased can be detokenized again: "
            "somebody put the rows back; erase them again"
        )
        return Finding(str(writer), number, FindingKind.BROUGHT_BACK.value, text_)
    text_ = f"the tombstones of {tokens} of {field_name} are gone: they may be issued again"
    return Finding(str(writer), number, FindingKind.DELETED.value, text_)


def _edited(writer: UUID, number: int) -> Finding:
    text_ = "the list of the tokens that this call erased was edited"
    return Finding(str(writer), number, FindingKind.EDITED.value, text_)


def _refuse_late(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise AuditUnavailable(
            "there are too many erasures to be verified before the deadline: allow more time",
            reason=Reason.DEADLINE_EXCEEDED,
        )
