"""Signed notes (C2SP signed-note 1.0.0), under Ed25519 keys.

A note is text with signatures below it. Its text is to be believed only as far as a known
key has signed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vault.audit.tlog import base64_text

__all__ = [
    "Note",
    "NoteKey",
    "NoteSignature",
    "NoteSigner",
    "SignatureType",
    "cosigned_message",
    "read_signatures",
    "sign_note",
]

_MAX_SIGNATURES = 100
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH = "\N{EM DASH} "
_KEY_BYTES, _SIGNATURE_BYTES, _TIME_BYTES = 32, 64, 8
_LATEST = 2**63 - 1


class SignatureType(IntEnum):
    """What is signed under an Ed25519 key: the text, or a witness's statement of it."""

    NOTE = 0x01
    COSIGNATURE = 0x04  # C2SP tlog-cosignature


class NoteSigner(Protocol):
    """Signs under an Ed25519 key."""

    @property
    def public(self) -> bytes:
        """The public key's 32 bytes (RFC 8032)."""

    def sign(self, message: bytes) -> bytes:
        """Returns the signature's 64 bytes."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key under its name. Raises ValueError for a name or key that none can have."""

    name: str
    public: bytes
    type: SignatureType = SignatureType.NOTE

    def __post_init__(self) -> None:
        """Checks name and key."""
        _check_name(self.name)
        if len(self.public) != _KEY_BYTES:
            raise ValueError("an Ed25519 public key has 32 bytes")

    @property
    def key_id(self) -> bytes:
        """The four bytes that a signature line names the key by."""
        return sha256(self.name.encode() + b"\n" + self._typed()).digest()[:4]

    def to_vkey(self) -> str:
        """Returns the key as other software for notes takes it."""
        return f"{self.name}+{self.key_id.hex()}+{base64_text.encode(self._typed())}"

    @classmethod
    def from_vkey(cls, vkey: str) -> NoteKey:
        """Reads what ``to_vkey`` wrote. Raises ValueError."""
        name, _, rest = vkey.partition("+")
        key_id, _, text = rest.partition("+")
        typed = base64_text.decode(text)
        key = cls(name, typed[1:], SignatureType(typed[0]))
        if key.key_id.hex() != key_id:
            raise ValueError("the key's ID is that of another key")
        return key

    def verifies(self, text: str, signature: bytes) -> bool:
        """Returns whether a signature is of this key over a note's text."""
        message = text.encode()
        if self.type is SignatureType.COSIGNATURE:
            time, signature = int.from_bytes(signature[:_TIME_BYTES]), signature[_TIME_BYTES:]
            if time > _LATEST:
                return False
            message = cosigned_message(text, time)
        if len(signature) != _SIGNATURE_BYTES:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def _typed(self) -> bytes:
        return bytes([self.type]) + self.public


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A signature line: a key's name and ID, and what the key made of the text."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def time(self) -> int:
        """When a cosignature was made, in seconds since the epoch."""
        return int.from_bytes(self.signature[:_TIME_BYTES])

    def to_line(self) -> str:
        """Returns the line, with its newline."""
        return f"{_DASH}{self.name} {base64_text.encode(self.key_id + self.signature)}\n"

    @classmethod
    def from_line(cls, line: str) -> NoteSignature:
        """Reads a line without its newline. Raises ValueError."""
        name, space, text = line.removeprefix(_DASH).partition(" ")
        content = base64_text.decode(text)
        if not line.startswith(_DASH) or not space or len(content) <= 4:
            raise ValueError("not a signature line")
        _check_name(name)
        return cls(name, content[:4], content[4:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and its signatures."""

    text: str
    signatures: Sequence[NoteSignature]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(each.to_line() for each in self.signatures)}"

    @classmethod
    def parse(cls, note: str) -> Note:
        """Reads a note, without believing it. Raises ValueError."""
        note.encode()  # a lone surrogate is an error of Unicode, which is a ValueError
        if _CONTROL.search(note):
            raise ValueError("a note has no control characters")
        text, blank, lines = note.rpartition("\n\n")
        if not blank or not text:
            raise ValueError("a note has a text and signatures")
        return cls(f"{text}\n", read_signatures(lines))

    def verified(self, keys: Iterable[NoteKey]) -> list[tuple[NoteKey, NoteSignature]]:
        """Returns the signatures of known keys; others are ignored.

        Raises ValueError where there is none, and where one of them is wrong.
        """
        found = []
        known = {(key.name, key.key_id): key for key in keys}
        for each in self.signatures:
            key = known.get((each.name, each.key_id))
            if key is None:
                continue
            if not key.verifies(self.text, each.signature):
                raise ValueError("a signature of a known key is wrong")
            found.append((key, each))
        if not found:
            raise ValueError("no known key has signed the note")
        return found


def sign_note(text: str, name: str, signer: NoteSigner) -> Note:
    """Signs a text under a name. Raises ValueError for a text that no note can have."""
    key_id = NoteKey(name, signer.public).key_id
    signature = NoteSignature(name, key_id, signer.sign(text.encode()))
    note = Note(text, [signature])
    if Note.parse(str(note)) != note:
        raise ValueError("a note's text ends in a newline")
    return note


def read_signatures(lines: str) -> list[NoteSignature]:
    """Reads signature lines, each with its newline. Raises ValueError."""
    *found, rest = lines.split("\n")
    if rest or not 0 < len(found) <= _MAX_SIGNATURES:
        raise ValueError("signature lines end in a newline, and are not too many")
    return [NoteSignature.from_line(line) for line in found]


def cosigned_message(text: str, time: int) -> bytes:
    """Returns what a witness signs of a note's text (tlog-cosignature, Ed25519)."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _check_name(name: str) -> None:
    if not name or "+" in name or any(map(str.isspace, name)):
        raise ValueError("a key's name has no spaces and no plus")
    name.encode()
