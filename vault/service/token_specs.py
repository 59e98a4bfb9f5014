"""The record of what decides a used field's tokens.

Changing a used field's format, generator, storage or scope would silently break
equality or restoring, so the first token records them and every later policy must agree.
The version that tweaks are derived by is in the record too: a field keeps the one that it
began with, whatever later releases begin new fields with.
"""

from __future__ import annotations

from vault.errors import PolicyError
from vault.model import Storage, TokenSpace
from vault.policy.model import Field, Policy
from vault.service.ports import TokenSpecStore, Transaction

__all__ = ["FieldTokenSpec", "KnownTokenSpecs", "check_token_specs"]

_REMEDY = (
    "put the recorded token spec back, or give the new one a field of a new name and move the "
    "values over (detokenize the old field, tokenize into the new one)"
)

_STAYS = (
    "a used field must stay, or nothing reads its tokens: put it back as it was, and take it out "
    "of every role if nobody may use it any more"
)


class KnownTokenSpecs:
    """The token specs that this process knows to be recorded. Threads may share it."""

    def __init__(self) -> None:
        self._known: dict[tuple[TokenSpace, str], int] = {}

    def for_field(self, space: TokenSpace, field: Field) -> FieldTokenSpec:
        """Returns one call's view of a field's record."""
        return FieldTokenSpec(self._known, space, field)


class FieldTokenSpec:
    """A field's recorded token spec, as one call finds or makes it."""

    def __init__(
        self, known: dict[tuple[TokenSpace, str], int], space: TokenSpace, field: Field
    ) -> None:
        self._known = known
        self._space = space
        self._field = field
        self._found: int | None = None

    def claim(self, transaction: Transaction) -> int:
        """Returns the field's tweak version, recorded with its token spec if it has no tokens yet.

        Raises PolicyError if another token spec is recorded.
        """
        return self._version_in(transaction, claim=True) or self._field.tweak_version

    def tweak_version(self, transaction: Transaction) -> int | None:
        """Returns the tweak version of a used field, None for one without a token.

        Where there is but one version nothing needs to be looked up.

        Raises PolicyError if another token spec is recorded.
        """
        if len(self._field.token_specs) == 1:
            return self._field.tweak_version
        return self._version_in(transaction, claim=False)

    def remember(self) -> None:
        """Notes, after the commit, that what was found is durable."""
        if self._found is not None:
            self._known[self._space, self._field.token_spec] = self._found

    def _version_in(self, transaction: Transaction, *, claim: bool) -> int | None:
        known = self._known.get((self._space, self._field.token_spec))
        if known is not None:
            return known
        # Work that is run again after a rollback must not go by what was rolled back.
        self._found = None
        recorded = self._record(transaction) if claim else self._recorded(transaction)
        if recorded is None:
            return None
        self._found = _tweak_version(self._field, recorded)
        if self._found is None:
            raise PolicyError(_changed(self._field.name))
        return self._found

    def _recorded(self, transaction: Transaction) -> str | None:
        return transaction.token_specs.recorded(self._space.tenant).get(self._space.field)

    def _record(self, transaction: Transaction) -> str:
        newest, *older = self._field.token_specs.values()
        return transaction.token_specs.record(
            self._space,
            newest,
            older=older[0] if older else None,
            # Nothing else is stored that shows the version of vaultless tokens.
            by_key=self._field.storage is Storage.VAULTLESS,
        )


def check_token_specs(policy: Policy, token_specs: TokenSpecStore, tenant: str) -> None:
    """Raises PolicyError where a policy changes or drops a used field."""
    faults = []
    for name, recorded in token_specs.recorded(tenant).items():
        field = policy.fields.get(name)
        if field is None:
            faults.append(f"fields.{name}: the field has tokens but is not in the policy; {_STAYS}")
        elif _tweak_version(field, recorded) is None:
            faults.append(_changed(name))
    if faults:
        raise PolicyError("\n".join(faults))


def _tweak_version(field: Field, recorded: str) -> int | None:
    """Returns the tweak version of a recorded token spec, None where it is not the field's."""
    versions = [version for version, spec in field.token_specs.items() if spec == recorded]
    return versions[0] if versions else None


def _changed(name: str) -> str:
    return f"fields.{name}: the field has tokens of another token spec; {_REMEDY}"
