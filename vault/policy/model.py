"""The policy as a typed model: frozen, complete and checked once it exists.

``vault.policy.reading.load.parse_policy`` makes it; nothing else should. Line numbers are those
of the file, for messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, lru_cache
from types import MappingProxyType

from vault.crypto.tweak import TWEAK_VERSIONS
from vault.formats import Format
from vault.model import Action, Generator, Group, Principal, Scope, Storage
from vault.policy.freezes import FreezeRule, strictest_rule
from vault.policy.limits import Limit, Quota, quotas_of
from vault.policy.roles import Binding, Rights, Role, rights_of_roles
from vault.policy.views import View

__all__ = ["SMALL_DOMAIN", "Field", "Policy"]

SMALL_DOMAIN = "ff3_1_small_domain"
"""Acknowledges FF3-1 on an effective domain under 10^10."""

_MAX_SETS_OF_ROLES = 1024


@dataclass(frozen=True)
class Field:
    """A named kind of sensitive data: what it looks like and how its tokens are made.

    Attributes:
        views: the field's views by name, its format's too, but not ``full`` and ``token``.
        acknowledged: risks that the policy's author accepts in writing.
        ttl: how long a token lives after its value was last tokenized, or None for ever.
            Not part of the token spec: it decides no token.
    """

    name: str
    format: Format
    format_name: str
    generator: Generator
    storage: Storage
    scope: Scope
    views: Mapping[str, View] = field(default_factory=dict)
    acknowledged: frozenset[str] = frozenset()
    ttl: timedelta | None = None
    line: int = field(default=0, compare=False)

    @property
    def token_spec(self) -> str:
        """What decides the tokens of a field that is new, as canonical JSON.

        Sorted keys, no spaces. A used field whose token spec changes would answer other tokens
        for the same values.
        """
        return self.token_specs[self.tweak_version]

    @property
    def tweak_version(self) -> int:
        """The version that a new field derives its tweaks by."""
        return next(iter(self.token_specs))

    @cached_property
    def token_specs(self) -> Mapping[int, str]:
        """The token spec of each tweak version that such a field may have, the newest first.

        Which of them a used field has is recorded with it and never changes.
        """
        versions = TWEAK_VERSIONS[self.generator]
        return MappingProxyType({version: self._token_spec_of(version) for version in versions})

    def _token_spec_of(self, tweak_version: int) -> str:
        parts: dict[str, object] = {
            "format": self.format_name,
            "generator": self.generator.value,
            "options": dict(self.format.token_spec()),
            "scope": self.scope.value,
            "storage": self.storage.value,
            "tweak_inputs": tweak_version,
        }
        return json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @cached_property
    def effective_domain(self) -> int:
        """How many tokens the shortest accepted value can have, exactly."""
        return self.format.effective_domain(self.generator, self.storage)


@dataclass(frozen=True)
class Policy:
    """A whole policy file.

    Attributes:
        source: what the file is called in messages.
        digest: SHA-256 of the file's bytes, lower-case hex.
        document: the file as it was read.
        bindings: who holds which roles, in file order.
        limits: how many values principals may have worked on, in file order.
        purposes: what values may be read for, by name, with a description or an empty one.
        freezes: when who touches honey tokens is frozen, in file order.
    """

    source: str
    digest: str
    document: str = field(repr=False)
    fields: Mapping[str, Field]
    roles: Mapping[str, Role]
    bindings: tuple[Binding, ...]
    limits: tuple[Limit, ...] = ()
    purposes: Mapping[str, str] = field(default_factory=dict)
    freezes: tuple[FreezeRule, ...] = ()

    def roles_of(self, principal: Principal) -> tuple[str, ...]:
        """Returns a principal's roles, its groups' among them, sorted; none if unknown."""
        own = self._roles.get(principal, ())
        if not principal.groups:
            return own
        found = {name for group in principal.groups for name in self._roles.get(group, ())}
        return tuple(sorted(found.union(own)))

    def groups_of(self, principal: Principal) -> frozenset[Group]:
        """Returns those of a principal's groups by which the policy gives roles."""
        return frozenset(group for group in principal.groups if group in self._roles)

    def rights_with(self, names: tuple[str, ...]) -> Rights:
        """Returns what roles of this policy allow together; nothing for no role."""
        return self._rights(names)

    def rights_of(self, principal: Principal) -> Rights:
        """Returns what a principal's roles allow together; nothing if it has none."""
        return self._rights(self.roles_of(principal))

    def freeze_rule(self, principal: Principal) -> FreezeRule | None:
        """Returns when a principal is frozen for touching honey tokens; None for never."""
        return strictest_rule(self.freezes, self.roles_of(principal)) if self.freezes else None

    def quotas(self, action: Action, name: str) -> tuple[Quota, ...]:
        """Returns what each principal has on a field for an action; nothing if unlimited."""
        return self._quotas.get((action, name), ())

    @cached_property
    def _quotas(self) -> Mapping[tuple[Action, str], tuple[Quota, ...]]:
        return quotas_of(self.limits)

    @cached_property
    def _roles(self) -> Mapping[Principal | Group, tuple[str, ...]]:
        return MappingProxyType({each.principal: each.roles for each in self.bindings})

    @cached_property
    def _rights(self) -> Callable[[tuple[str, ...]], Rights]:
        # One table per distinct set of roles: principals are many, sets of roles few, even
        # where groups make sets that no line of the file has.
        def rights(names: tuple[str, ...]) -> Rights:
            return rights_of_roles([self.roles[name] for name in names])

        return lru_cache(_MAX_SETS_OF_ROLES)(rights)
