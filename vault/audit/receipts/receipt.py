"""A receipt: an in-toto Statement v1 of a reveal, whose subject is the reveal's audit record.

It has no value and no token, nor anything that is made of them. It says what the record
says, and names the record by its place in its writer's chain, its MAC and its body's digest: the
log's leaf commits to all of these, so that a receipt without a record shows, and the reverse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from vault.audit.json_text import read_count, read_json
from vault.audit.log import digest_of
from vault.audit.merkle import HASH_BYTES
from vault.audit.receipts.dsse import Envelope, seal
from vault.audit.record import Record, RecordId, canonical_json
from vault.audit.tlog.note import NoteKey
from vault.crypto.field_key import MacKey

__all__ = ["PAYLOAD_TYPE", "PREDICATE_TYPE", "STATEMENT_TYPE", "Receipt", "make_receipt"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:tokenvault:reveal-receipt:v1"
# What a record says besides concerns who runs the service, or is made of tokens.
_SHOWN = (
    "time",
    "rpc",
    "outcome",
    "tenant",
    "principal",
    "person",
    "auth_time",
    "request_id",
    "field",
    "view",
    "purpose",
    "ticket",
    "grant",
    "break_glass",
    "charged",
    "budget",
    "counts",
    "policy_digest",
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says, once its signature is verified.

    Attributes:
        origin: the log that its record is in.
        mac: the record's.
        body_digest: SHA-256 of the record's body.
        reveal: entries of the record's body.
    """

    origin: str
    record: RecordId
    mac: bytes
    body_digest: bytes
    reveal: Mapping[str, object]

    def to_statement(self) -> str:
        """Returns the statement, as canonical JSON."""
        writer, number = str(self.record.writer), self.record.number
        digest = {"sha256": self.body_digest.hex()}
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": f"{writer}/{number}", "digest": digest}],
                "predicateType": PREDICATE_TYPE,
                "predicate": {
                    "log": self.origin,
                    "record": {"writer": writer, "number": number, "mac": self.mac.hex()},
                    "reveal": self.reveal,
                },
            }
        )

    @classmethod
    def from_statement(cls, text: str) -> Receipt:
        """Reads what ``to_statement`` wrote, and no other spelling. Raises ValueError."""
        match read_json(text):
            case {
                "subject": [{"digest": {"sha256": str(digest)}}],
                "predicate": {
                    "log": str(origin),
                    "record": {"writer": str(writer), "number": number, "mac": str(mac)},
                    "reveal": dict(reveal),
                },
            }:
                record = RecordId(UUID(writer), read_count(number, least=1))
                body_digest = bytes.fromhex(digest)
                receipt = cls(origin, record, bytes.fromhex(mac), body_digest, reveal)
                if receipt.to_statement() == text and len(body_digest) == HASH_BYTES:
                    return receipt
        raise ValueError("not a receipt's statement")

    @classmethod
    def from_envelope(cls, text: str, keys: Sequence[NoteKey]) -> Receipt:
        """Reads a receipt that a key of its own log has signed.

        Raises ValueError, with what is wrong for people; it quotes the log's name at most.
        """
        try:
            envelope = Envelope.from_json(text)
        except ValueError:
            raise ValueError("it is no receipt, or was changed") from None
        signed = envelope.verified(keys)
        if not signed or envelope.payload_type != PAYLOAD_TYPE:
            raise ValueError("its signature is not of the public key, or it was changed")
        try:
            receipt = cls.from_statement(envelope.payload.decode("ascii"))
        except ValueError:
            raise ValueError("it is signed, but is no receipt") from None
        # A key's name is its log's origin: of another log it says nothing.
        if all(key.name != receipt.origin for key in signed):
            raise ValueError(
                f"it is of another log, {receipt.origin!r}: the public key is of another"
            )
        return receipt

    def tells(self, body: str) -> bool:
        """Returns whether this is what the record with that body must be told as."""
        return digest_of(body) == self.body_digest and _reveal_of(body) == self.reveal


def make_receipt(record: Record, key: MacKey, origin: str) -> str:
    """Returns the receipt of a call's record, as an envelope in one line of JSON.

    Args:
        key: the audit key that the record is MACed under.
        origin: the log that it will be in.
    """
    receipt = Receipt(
        origin,
        RecordId(record.writer, record.number),
        record.mac,
        digest_of(record.body),
        _reveal_of(record.body),
    )
    key_id = NoteKey(origin, key.signing.public).key_id.hex()
    statement = receipt.to_statement().encode("ascii")
    return seal(PAYLOAD_TYPE, statement, f"{origin}+{key_id}", key.signing).to_json()


def _reveal_of(body: str) -> Mapping[str, object]:
    match read_json(body):
        case dict() as document:
            return {name: document[name] for name in _SHOWN if name in document}
    raise ValueError("not an audit record's body")
