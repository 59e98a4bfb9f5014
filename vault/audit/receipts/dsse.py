"""DSSE 1.0.2: an envelope of a payload, its type, and signatures over both."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vault.audit.json_text import read_json
from vault.audit.tlog.note import NoteKey, NoteSigner

__all__ = ["Envelope", "pre_authentication_encoding", "seal"]

_MAX_SIGNATURES = 100
_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type, and signatures: what each key is called, and what it made."""

    payload_type: str
    payload: bytes = field(repr=False)
    signatures: Sequence[tuple[str, bytes]]

    def to_json(self) -> str:
        """Returns the envelope as one line of JSON."""
        return json.dumps(
            {
                "payload": _encoded(self.payload),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": key_id, "sig": _encoded(signature)}
                    for key_id, signature in self.signatures
                ],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Envelope:
        """Reads an envelope, without believing it; other names in it are ignored.

        Raises ValueError.
        """
        match read_json(text):
            case {"payload": str(payload), "payloadType": str(kind), "signatures": list(found)}:
                signatures = [_signature(each) for each in found[: _MAX_SIGNATURES + 1]]
                if not 0 < len(signatures) <= _MAX_SIGNATURES:
                    raise ValueError("an envelope has signatures, and not too many")
                kind.encode()  # a lone surrogate is a ValueError
                return cls(kind, _decoded(payload), signatures)
        raise ValueError("not an envelope")

    def verified(self, keys: Iterable[NoteKey]) -> list[NoteKey]:
        """Returns the keys that have signed the envelope. Names of keys are hints only."""
        message = pre_authentication_encoding(self.payload_type, self.payload)
        return [
            key
            for key in keys
            if any(_verifies(key.public, signature, message) for _, signature in self.signatures)
        ]


def seal(payload_type: str, payload: bytes, key_id: str, signer: NoteSigner) -> Envelope:
    """Signs a payload as being of a type."""
    message = pre_authentication_encoding(payload_type, payload)
    return Envelope(payload_type, payload, [(key_id, signer.sign(message))])


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Returns what is signed: no note begins like it, so that no signature is taken for one."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _signature(value: object) -> tuple[str, bytes]:
    match value:
        case {"sig": str(text), **rest}:
            key_id = rest.get("keyid")
            return key_id if isinstance(key_id, str) else "", _decoded(text)
    raise ValueError("not a signature")


def _verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _encoded(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _decoded(text: str) -> bytes:
    """Reads Base64 in either alphabet, as the standard asks for."""
    try:
        return b64decode(text.translate(_STANDARD).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not Base64") from None
