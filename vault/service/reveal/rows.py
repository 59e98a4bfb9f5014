"""Reveals as rows: written under a MAC, and believed only where that is ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from struct import pack, unpack
from typing import TypeAlias
from uuid import UUID

from vault.crypto.cmac import Cmac
from vault.crypto.field_key import MacKey
from vault.crypto.key_versions import verifies_under
from vault.crypto.row_mac import Cell
from vault.errors import Denied, Reason
from vault.model import Action, Person, TokenSpace
from vault.policy.approvals import Approvals, Approved, ApproverGroup
from vault.service.ports import KeySource, RevealPartRow, RevealRow, RevealStore
from vault.service.reveal.lifecycle import not_found
from vault.service.reveal.model import DIGEST, Decision, Reveal, State, Verdict
from vault.uuids import read_uuid

__all__ = [
    "Refused",
    "RevealRows",
    "Tokens",
    "each_digest",
    "is_genuine",
    "part_of",
    "spent_in",
    "spent_of",
]

_REVEALS, _PARTS = "reveals", "reveal_tokens"
_DIGEST_KEYS = {
    Action.DETOKENIZE: "reveal_token_digests",
    Action.DECRYPT: "reveal_ciphertext_digests",
}
_VERSION = 2
_COUNT = 2

Tokens: TypeAlias = dict[bytes, int]
"""Digests of tokens, each with how often it was shown."""

Refused: TypeAlias = Callable[[UUID, str], None]
"""What reports a reveal's row that is not believed, and its table."""


class RevealRows:
    """Writes and reads the rows of reveals under the audit key's MAC key."""

    def __init__(self, keys: KeySource, refused: Refused) -> None:
        self._keys = keys
        self._refused = refused

    def written(self, reveal: Reveal) -> RevealRow:
        """Returns a reveal's row."""
        key = self._keys.audit_key(reveal.tenant)
        document = json.dumps(_document(reveal), sort_keys=True, separators=(",", ":"))
        bare = RevealRow(
            reveal.tenant,
            reveal.id,
            reveal.field,
            reveal.principal,
            reveal.state.value,
            reveal.ends,
            document,
            key.version,
            b"",
            reveal.awaits_review,
        )
        return replace(bare, mac=key.rows.mac(_REVEALS, _cells(bare)))

    def read(self, row: RevealRow, reveal: UUID) -> Reveal:
        """Reads a row. Raises Denied (GRANT_INVALID) where no server of ours wrote it."""
        if row.id != reveal or not self._genuine(row):
            raise self._forged(reveal, _REVEALS)
        return _reveal(row)

    def locked(self, store: RevealStore, tenant: str, reveal: str) -> tuple[Reveal, datetime]:
        """Locks and returns a reveal by its id as text, and the time. Raises Denied."""
        wanted = read_uuid(reveal)
        found = None if wanted is None else store.lock(tenant, wanted)
        if found is None or wanted is None:
            raise not_found()
        row, now = found
        return self.read(row, wanted), now

    def genuine(self, rows: Iterable[RevealRow]) -> Iterator[Reveal]:
        """Yields the reveals of rows that are ours; others were reported."""
        for row in rows:
            with suppress(Denied):
                yield self.read(row, row.id)

    def digests(self, reveal: Reveal, tokens: Iterable[str]) -> bytes:
        """Returns the digests of token cores, or of what stands for ciphertexts, in order."""
        space = TokenSpace(reveal.tenant, reveal.field)
        return self.digests_of(space, reveal.action, reveal.digest_version, tokens)

    def digests_of(
        self, space: TokenSpace, action: Action, version: int, tokens: Iterable[str]
    ) -> bytes:
        """Returns ``digests`` as those of any reveal on a field and for an action are."""
        rows = self._keys.audit_key(space.tenant, version).rows
        # No row is of such a table: what is no MAC of one is a key.
        key = Cmac(rows.mac(_DIGEST_KEYS[action], [space.tenant, space.field]))
        return key.digests([token.encode("utf-8", "surrogatepass") for token in tokens])

    def written_parts(self, reveal: Reveal, parts: Mapping[int, Tokens]) -> list[RevealPartRow]:
        """Returns the rows of parts."""
        key = self._keys.audit_key(reveal.tenant)
        rows = []
        for number, tokens in sorted(parts.items()):
            ordered = sorted(tokens.items())
            digests = b"".join(digest for digest, _ in ordered)
            spent = pack(f">{len(ordered)}H", *(count for _, count in ordered))
            bare = RevealPartRow(reveal.tenant, reveal.id, number, digests, spent, 1, b"")
            rows.append(_sealed(key, bare))
        return rows

    def with_spent(
        self, rows: Iterable[RevealPartRow], spent: Iterable[bytes]
    ) -> list[RevealPartRow]:
        """Returns the rows of parts with other counts in them."""
        changed = [replace(row, spent=each) for row, each in zip(rows, spent, strict=True)]
        return [_sealed(self._keys.audit_key(row.tenant), row) for row in changed]

    def check_part(self, reveal: Reveal, row: RevealPartRow) -> None:
        """Raises Denied where a part is not ours, or not of the reveal as it is."""
        if row.id != reveal.id or not self._genuine(row):
            raise self._forged(reveal.id, _PARTS)
        # A part from before some of it was shown is genuine too, and no longer that of its row.
        if sum(_counts(row)) != reveal.spent[row.part]:
            raise self._forged(reveal.id, _PARTS)

    def read_part(self, reveal: Reveal, row: RevealPartRow) -> Tokens:
        """Reads a part. Raises Denied as ``check_part``."""
        self.check_part(reveal, row)
        return dict(zip(each_digest(row.digests), _counts(row), strict=True))

    def _genuine(self, row: RevealRow | RevealPartRow) -> bool:
        key_of = partial(self._keys.audit_key, row.tenant)
        return verifies_under(key_of, row.key_version, lambda key: is_genuine(key, row))

    def _forged(self, reveal: UUID, table: str) -> Denied:
        self._refused(reveal, table)
        return Denied(
            "the grant's record was changed by somebody else, and is worth nothing",
            reason=Reason.GRANT_INVALID,
        )


def _sealed(key: MacKey, row: RevealPartRow) -> RevealPartRow:
    return replace(row, key_version=key.version, mac=key.rows.mac(_PARTS, _cells(row)))


def is_genuine(key: MacKey, row: RevealRow | RevealPartRow) -> bool:
    """Returns whether a row is as a server of ours wrote it."""
    table = _PARTS if isinstance(row, RevealPartRow) else _REVEALS
    return key.rows.verify(table, _cells(row), row.mac)


def spent_of(row: RevealRow) -> int:
    """Returns how often tokens of a genuine row were shown."""
    return sum(_reveal(row).spent)


def spent_in(part: RevealPartRow) -> int:
    """Returns how often tokens of a part were shown."""
    return sum(_counts(part))


def _counts(part: RevealPartRow) -> Sequence[int]:
    return unpack(f">{len(part.spent) // _COUNT}H", part.spent)


def _cells(row: RevealRow | RevealPartRow) -> list[Cell]:
    if isinstance(row, RevealPartRow):
        return [row.tenant, row.id, row.part, row.digests, row.spent]
    cells: list[Cell] = [
        row.tenant, row.id, row.field, row.principal, row.state, row.ends, row.document,
    ]  # fmt: skip
    # Of others nothing: their MACs are what they were before there were reviews.
    return [*cells, True] if row.awaits_review else cells


def _document(reveal: Reveal) -> Mapping[str, object]:
    return {
        "v": _VERSION,
        "view": reveal.view,
        "shows": reveal.shows,
        "purpose": reveal.purpose,
        "ticket": reveal.ticket,
        "reason": reveal.reason,
        "person": list(reveal.person),
        "groups": sorted(reveal.groups),
        "roles": sorted(reveal.roles),
        "policy_digest": reveal.policy_digest,
        "approvals": [_group(group) for group in reveal.approvals.groups],
        "grant_ttl": _seconds(reveal.approvals.grant_ttl),
        "lifetime": _seconds(reveal.lifetime),
        "times": reveal.times,
        "created": _time(reveal.created),
        "tokens": reveal.tokens,
        "granted": None if reveal.granted is None else _time(reveal.granted),
        "decisions": [_decision(each) for each in reveal.decisions],
        "spent": list(reveal.spent),
        "digest_version": reveal.digest_version,
        "action": reveal.action.value,
        **({} if reveal.review is None else {"review": _group(reveal.review)}),
    }


def _group(group: ApproverGroup) -> Mapping[str, object]:
    return {"of": group.of, "count": group.count, "not_same_group": group.not_same_group}


def _decision(decision: Decision) -> Mapping[str, object]:
    return {
        "verdict": decision.verdict.value,
        "person": list(decision.person),
        "principal": decision.principal,
        "time": _time(decision.time),
        "roles": sorted(decision.approved.roles),
        "apart": decision.approved.apart,
        "comment": decision.comment,
    }


def _reveal(row: RevealRow) -> Reveal:
    """Reads a row whose MAC is ours: what is in it, we wrote."""
    content = json.loads(row.document)
    groups = tuple(ApproverGroup(**group) for group in content["approvals"])
    granted = content["granted"]
    return Reveal(
        tenant=row.tenant,
        id=row.id,
        field=row.field,
        view=content["view"],
        shows=content["shows"],
        purpose=content["purpose"],
        ticket=content["ticket"],
        reason=content["reason"],
        principal=row.principal,
        person=Person(*content["person"]),
        groups=frozenset(content["groups"]),
        roles=frozenset(content["roles"]),
        policy_digest=content["policy_digest"],
        approvals=Approvals(groups, timedelta(seconds=content["grant_ttl"])),
        lifetime=timedelta(seconds=content["lifetime"]),
        times=content["times"],
        created=datetime.fromisoformat(content["created"]),
        ends=row.ends,
        state=State(row.state),
        tokens=content["tokens"],
        granted=None if granted is None else datetime.fromisoformat(granted),
        decisions=tuple(_read_decisions(content["decisions"])),
        spent=tuple(content["spent"]),
        digest_version=content["digest_version"],
        action=Action(content.get("action", Action.DETOKENIZE)),
        review=ApproverGroup(**content["review"]) if "review" in content else None,
    )


def _read_decisions(entries: Iterable[Mapping[str, str]]) -> Iterable[Decision]:
    for each in entries:
        yield Decision(
            Verdict(each["verdict"]),
            Person(*each["person"]),
            each["principal"],
            datetime.fromisoformat(each["time"]),
            Approved(frozenset(each["roles"]), apart=bool(each["apart"])),
            each["comment"],
        )


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())


def each_digest(digests: bytes) -> list[bytes]:
    """Returns digests apart that are one after the other."""
    return [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]


def part_of(digest: bytes, parts: int) -> int:
    """Returns the part that a token is in, of so many."""
    return digest[0] * parts // 256
