"""Lists of erased and expired tokens, one with each record: they must stay tombstones.

Whoever owns the database can copy a tombstone's ciphertext back. The list names its token
for ever. It is sealed under the audit key and bound to its record, whose body, and so the
chain, holds the list's digest: it can be neither edited nor taken away unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from secrets import token_bytes
from uuid import UUID

from vault.audit.chain import KeyOf
from vault.crypto.field_key import MacKey
from vault.crypto.token_list_seal import SALT_LENGTH, TokenList, open_tokens, seal_tokens
from vault.errors import DecryptionFailed

__all__ = ["ErasureList", "make_list"]


@dataclass(frozen=True, slots=True)
class ErasureList:
    """A row of ``audit_erasures``: the tokens that one record made tombstones of.

    Attributes:
        writer: of the record.
        number: of the record within its writer's chain.
        salt: random, for the key that this list alone is sealed with.
        sealed: the tokens.
    """

    writer: UUID
    number: int
    key_version: int
    tenant: str
    field: str
    salt: bytes
    sealed: bytes = dataclass_field(repr=False)

    @property
    def digest(self) -> str:
        """What the record's body says of the list, in hexadecimal."""
        return hashlib.sha256(self.salt + self.sealed).hexdigest()

    def tokens(self, key_of: KeyOf) -> list[str] | None:
        """Returns the tokens, None where no server made this list. May raise KeysUnavailable."""
        try:
            key = key_of(self.key_version)
            return open_tokens(TokenList.ERASURE, key, self.salt, self.sealed, *self._context())
        except (DecryptionFailed, OverflowError):
            return None

    def _context(self) -> tuple[bytes, ...]:
        return _context(self.writer, self.number, self.key_version, self.tenant, self.field)


def make_list(
    key: MacKey, writer: UUID, number: int, tenant: str, field_name: str, tokens: Iterable[str]
) -> ErasureList:
    """Makes the list of a writer's record of that number."""
    salt = token_bytes(SALT_LENGTH)
    context = _context(writer, number, key.version, tenant, field_name)
    sealed = seal_tokens(TokenList.ERASURE, key, salt, sorted(tokens), *context)
    return ErasureList(writer, number, key.version, tenant, field_name, salt, sealed)


def _context(
    writer: UUID, number: int, key_version: int, tenant: str, field_name: str
) -> tuple[bytes, ...]:
    # Signed: a tampered row may hold any bigint, and must not open.
    numbers = (each.to_bytes(8, signed=True) for each in (number, key_version))
    return (writer.bytes, *numbers, tenant.encode(), field_name.encode())
