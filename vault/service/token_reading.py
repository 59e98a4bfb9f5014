"""From tokens to values: tombstones, deciphering vaultless tokens, views, describing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vault.crypto.alphabet import Alphabet
from vault.crypto.field_key import FieldKey, TweakInput
from vault.errors import FormatError, Reason
from vault.formats import Plan
from vault.model import Failure, StoredToken, TokenState
from vault.policy.model import Field
from vault.service.columns import NO_TOKEN
from vault.service.deadline import in_time
from vault.service.results import TokenDescription
from vault.service.stored_rows import DECRYPTION_FAILED
from vault.service.token_creation import VAULTLESS_KEY_VERSION

__all__ = [
    "NOT_READABLE",
    "decipher_tokens",
    "describe_rows",
    "describe_vaultless",
    "view_maker",
]

# Why a row that is not live gives no value.
NOT_READABLE = {
    TokenState.EXPIRED: Failure(Reason.TOKEN_EXPIRED, "the token has expired"),
    TokenState.ERASED: Failure(Reason.TOKEN_ERASED, "the token's value was erased"),
    TokenState.DAMAGED: DECRYPTION_FAILED,
}


def _unreadable(row: StoredToken | None) -> Failure | None:
    return NO_TOKEN if row is None else NOT_READABLE.get(row.state)


def decipher_tokens(
    key: FieldKey,
    field: Field,
    tweak_version: int,
    tokens: Sequence[str],
    deadline: float | None = None,
) -> list[str | Failure]:
    """Returns the value core behind each vaultless token core, in order.

    FPE has no integrity: every string in the format deciphers to something.
    """
    values: list[str | Failure] = [NO_TOKEN] * len(tokens)
    groups: dict[Alphabet, list[tuple[int, Plan]]] = {}
    for at, token in enumerate(in_time(tokens, deadline)):
        plan = _value_plan(field, token)
        if plan is not None:
            groups.setdefault(plan.alphabet, []).append((at, plan))
    for alphabet, members in groups.items():
        texts = [plan.text for _, plan in members]
        tweaks = [TweakInput(field.scope.value, plan.kept, 0) for _, plan in members]
        deciphered = key.decipher_texts(
            field.generator, alphabet, texts, tweaks, tweak_version=tweak_version
        )
        for (at, plan), text in zip(members, deciphered, strict=True):
            value = plan.build(text)
            # A fixed point was never handed out as a token, so it is none.
            values[at] = NO_TOKEN if value == tokens[at] else value
    return values


def _value_plan(field: Field, token: str) -> Plan | None:
    try:
        return field.format.value_plan(token)
    except FormatError:
        return None


def view_maker(field: Field, view: str) -> Callable[[str, str], str]:
    """Returns what turns (token core, value core) into the core of a view."""
    if view == "full":
        return lambda _token, value: value
    if view == "token":
        return lambda token, _value: token
    shown = field.views[view]
    return lambda _token, value: shown.apply(value)


def describe_rows(
    field: Field, tokens: Sequence[str], rows: Mapping[str, StoredToken]
) -> list[TokenDescription | Failure]:
    """Returns what is known about each stored token core, in order."""
    return [_describe(field, rows.get(token)) for token in tokens]


def _describe(field: Field, row: StoredToken | None) -> TokenDescription | Failure:
    failure = _unreadable(row)
    if row is None or failure is not None:
        return failure or NO_TOKEN
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
