"""Comparing the lists of erased tokens with their records, and with the tokens themselves."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from secrets import randbelow, token_bytes
from uuid import UUID

from sqlalchemy import Connection, text

from vault.audit.chain import KeyOf, Kind
from vault.audit.erasures import ErasureList
from vault.audit.record import Record
from vault.errors import AuditUnavailable, DecryptionFailed, Reason
from vault.service.audit_access import Finding

__all__ = ["check_again", "check_erasures", "sample_erasures"]

_FETCH = 100  # lists held at once
_BATCH = 10_000  # tokens looked up at once
_MOST = 1000  # findings
_SAMPLED_LISTS, _SAMPLED_TOKENS = 3, 300

# What a record's body has where there is a list. An edited body that no longer has it is
# found by its chain.
_MARK = '"erasure":"'
_COLUMNS = "e.writer, e.number, e.key_version, e.tenant, e.field, e.salt, e.sealed"
_LISTS = text(f"""
SELECT r.writer, r.number, r.key_version, r.previous, r.mac, r.body, {_COLUMNS}
FROM (SELECT * FROM audit_records WHERE strpos(body, :mark) > 0) r
FULL JOIN audit_erasures e USING (writer, number)
""")  # noqa: S608 - constants only
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


def check_erasures(
    connection: Connection, key_of: KeyOf, deadline: float | None = None
) -> list[Finding]:
    """Checks every list against its record and every token in it.

    In memory are a few lists at a time. Raises what the driver raises, AuditUnavailable at
    ``deadline``, KeysUnavailable.
    """
    streamed = connection.execute(_LISTS, {"mark": _MARK}, execution_options={"yield_per": _FETCH})
    connection.execute(_PLANS)
    findings: list[Finding] = []
    waiting = _Waiting()
    with streamed as rows:
        for count, row in enumerate(rows):
            if count % _FETCH == 0:
                _refuse_late(deadline)
            record = Record(*row[:6]) if row[0] is not None else None
            kept = ErasureList(*row[6:]) if row[6] is not None else None
            tokens = None if kept is None else kept.tokens(key_of)
            findings += _compare(record, kept, tokens is not None, key_of)
            if kept is not None and tokens is not None:
                waiting.add(kept, tokens)
            if len(waiting.tokens) >= _BATCH:
                findings += waiting.check(connection)
            if len(findings) >= _MOST:
                break
        findings += waiting.check(connection)
    return findings[:_MOST]


def sample_erasures(connection: Connection, key_of: KeyOf) -> list[Finding]:
    """Checks some of the tokens of a few lists, others each time. Raises as the above."""
    connection.execute(_PLANS)
    rows = connection.execute(_SOME, {"salt": token_bytes(16), "most": _SAMPLED_LISTS})
    return _check_lists(connection, [ErasureList(*row) for row in rows], key_of, _SAMPLED_TOKENS)


def check_again(
    connection: Connection, key_of: KeyOf, places: Sequence[tuple[UUID, int]]
) -> list[Finding]:
    """Checks all tokens of the lists of these records. Raises as the above."""
    connection.execute(_PLANS)
    writers, numbers = [str(writer) for writer, _ in places], [number for _, number in places]
    rows = connection.execute(_THESE, {"writers": writers, "numbers": numbers})
    return _check_lists(connection, [ErasureList(*row) for row in rows], key_of, None)


def _check_lists(
    connection: Connection, lists: Sequence[ErasureList], key_of: KeyOf, most: int | None
) -> list[Finding]:
    findings = []
    waiting = _Waiting()
    for kept in lists:
        tokens = kept.tokens(key_of)
        if tokens is None:
            findings.append(_edited(kept.writer, kept.number))
        else:
            start = randbelow(len(tokens) or 1)
            waiting.add(kept, [*tokens[start:], *tokens[:start]][:most])
    return findings + waiting.check(connection)


@dataclass
class _Waiting:
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
        yield Finding(str(kept.writer), kept.number, Kind.INSERTED.value, text_)
    elif record is not None and _genuine(record, key_of):  # else its chain says so
        digest = _stated_digest(record.body)
        if kept is not None and digest != kept.digest:
            yield _edited(record.writer, record.number)
        elif kept is None and digest:
            text_ = "the list of the tokens that this call erased is gone"
            yield Finding(str(record.writer), record.number, Kind.DELETED.value, text_)


def _genuine(record: Record, key_of: KeyOf) -> bool:
    try:
        return record.verifies(key_of(record.key_version), record.writer, record.number)
    except DecryptionFailed:
        return False


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
            "somebody put the rows back; erase them anew"
        )
        return Finding(str(writer), number, Kind.BROUGHT_BACK.value, text_)
    text_ = f"the tombstones of {tokens} of {field_name} are gone: they may be issued again"
    return Finding(str(writer), number, Kind.DELETED.value, text_)


def _edited(writer: UUID, number: int) -> Finding:
    text_ = "the list of the tokens that this call erased was edited"
    return Finding(str(writer), number, Kind.EDITED.value, text_)


def _refuse_late(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise AuditUnavailable(
            "there are too many erasures to be verified before the deadline: allow more time",
            reason=Reason.DEADLINE_EXCEEDED,
        )
