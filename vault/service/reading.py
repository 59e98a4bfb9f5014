"""From tokens to values: opening stored rows, deciphering vaultless tokens, describing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vault.crypto.field_key import FieldKey, TweakInput
from vault.errors import DecryptionFailed, FormatError, Reason
from vault.model import Failure, StoredToken, TokenSpace, TokenState
from vault.policy.model import Field
from vault.service.columns import NO_TOKEN
from vault.service.minting import VAULTLESS_KEY_VERSION
from vault.service.ports import KeySource
from vault.service.results import TokenDescription

__all__ = ["decipher_tokens", "describe_rows", "describe_vaultless", "open_rows"]

_UNOPENED = Failure(Reason.DECRYPTION_FAILED, "decryption failed")
_TOMBSTONES = {
    TokenState.EXPIRED: Failure(Reason.TOKEN_EXPIRED, "the token has expired"),
    TokenState.ERASED: Failure(Reason.TOKEN_ERASED, "the token's value was erased"),
}


def open_rows(
    keys: KeySource,
    space: TokenSpace,
    tokens: Sequence[str],
    rows: Mapping[str, StoredToken],
) -> list[str | Failure]:
    """Returns the value core behind each token core, in order."""
    return [_open(keys, space, rows.get(token)) for token in tokens]


def _open(keys: KeySource, space: TokenSpace, row: StoredToken | None) -> str | Failure:
    gone = _gone(row)
    if row is None or gone is not None:
        return gone or NO_TOKEN
    try:
        key = keys.version(space, row.key_version)
        return key.open(row.ciphertext, scope=row.scope.value, token=row.token).decode()
    except DecryptionFailed:
        return _UNOPENED


def _gone(row: StoredToken | None) -> Failure | None:
    return NO_TOKEN if row is None else _TOMBSTONES.get(row.state)


def decipher_tokens(
    keys: KeySource, space: TokenSpace, field: Field, tokens: Sequence[str]
) -> list[str | Failure]:
    """Returns the value core behind each vaultless token core, in order.

    FPE has no integrity: every string in the format deciphers to something.
    """
    key = keys.version(space, VAULTLESS_KEY_VERSION)
    return [_decipher(key, field, token) for token in tokens]


def _decipher(key: FieldKey, field: Field, token: str) -> str | Failure:
    try:
        plan = field.format.value_plan(token)
    except FormatError:
        return NO_TOKEN
    numerals = [plan.alphabet.encode(plan.text)]
    tweaks = [TweakInput(field.scope.value, plan.kept, 0)]
    digits = key.decipher(field.generator, plan.alphabet.radix, numerals, tweaks)[0]
    value = plan.build(plan.alphabet.decode(digits))
    # A fixed point was never handed out as a token, so it is none.
    return NO_TOKEN if value == token else value


def describe_rows(
    field: Field, tokens: Sequence[str], rows: Mapping[str, StoredToken]
) -> list[TokenDescription | Failure]:
    """Returns what is known about each stored token core, in order."""
    return [_describe(field, rows.get(token)) for token in tokens]


def _describe(field: Field, row: StoredToken | None) -> TokenDescription | Failure:
    gone = _gone(row)
    if row is None or gone is not None:
        return gone or NO_TOKEN
    return TokenDescription(
        format=field.format_name,
        generator=row.generator.value,
        storage=field.storage.value,
        key_version=row.key_version,
        created=row.created,
        expires=row.expires,
    )


def describe_vaultless(field: Field) -> TokenDescription:
    """Returns what holds for every token of a vaultless field."""
    return TokenDescription(
        format=field.format_name,
        generator=field.generator.value,
        storage=field.storage.value,
        key_version=VAULTLESS_KEY_VERSION,
    )
