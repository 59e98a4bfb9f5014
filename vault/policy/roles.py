"""Roles, who holds them, and the rights that a set of roles gives.

The table is made once per policy and set of roles, so that a decision is a lookup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from vault.model import Action, Group, Principal
from vault.policy.conditions import UNCONDITIONAL, Conditions

__all__ = [
    "FIELDLESS",
    "JUSTIFIED",
    "VIEWED",
    "Binding",
    "Permission",
    "Rights",
    "Role",
    "RolesByConditions",
    "Rule",
    "rights_of_roles",
]

FIELDLESS = frozenset(
    {Action.READ_AUDIT, Action.READ_POLICY, Action.EXPLAIN_OTHERS, Action.MANAGE_FREEZES}
)
"""Actions that concern no field."""

VIEWED = frozenset({Action.DETOKENIZE, Action.DECRYPT, Action.REQUEST_REVEAL})
"""Actions that answer with a view of a value, or ask for one."""

JUSTIFIED = VIEWED
"""Actions of which a rule may ask what they are for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a role may and may not do.

    Attributes:
        fields: the fields concerned, ``*`` written out; empty for actions without a field.
        every: whether the file said ``*``, so that fields added later are concerned too.
        view: the view granted with detokenize and decrypt, or that may be requested, or empty.
        conditions: what it asks of a call for what it allows; a deny has none.
    """

    fields: frozenset[str]
    every: bool
    allow: frozenset[Action]
    deny: frozenset[Action]
    view: str = ""
    line: int = field(default=0, compare=False)
    conditions: Conditions = UNCONDITIONAL

    def allowed(self) -> Iterator[tuple[Action, str | None]]:
        """Yields every action allowed, with every field it is allowed on."""
        return self.spread(self.allow)

    def denied(self) -> Iterator[tuple[Action, str | None]]:
        """Yields every action denied, with every field it is denied on."""
        return self.spread(self.deny)

    def spread(self, actions: frozenset[Action]) -> Iterator[tuple[Action, str | None]]:
        """Yields some of its actions, each with every field that it is about."""
        for action in actions:
            if action in FIELDLESS:
                yield action, None
            else:
                yield from ((action, name) for name in self.fields)


@dataclass(frozen=True, slots=True)
class Role:
    """A named list of rules."""

    name: str
    rules: tuple[Rule, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Binding:
    """The roles, sorted, that a principal holds, or whoever is in a group of a JWT issuer."""

    principal: Principal | Group
    roles: tuple[str, ...]
    line: int = field(default=0, compare=False)


RolesByConditions = Mapping[Conditions, tuple[str, ...]]
"""What is asked of a call -> the roles that then grant it, sorted."""

Permission = Mapping[str, RolesByConditions]
"""View -> who grants it, and when. An action without a view has the view ``""``."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a set of roles allows together.

    Attributes:
        permissions: what each action allowed on each field (None: an action without one) gives.
        on_fields: whether any action on any field is allowed.
    """

    permissions: Mapping[tuple[Action, str | None], Permission]
    on_fields: bool

    def permission_for(self, action: Action, name: str | None) -> Permission | None:
        """Returns what is granted for an action on a field, or None for nothing."""
        return self.permissions.get((action, name))

    def allows(self, action: Action, name: str | None, view: str = "") -> bool:
        """Returns whether an action on a field is granted with the given view."""
        return view in (self.permission_for(action, name) or {})


def rights_of_roles(roles: Sequence[Role]) -> Rights:
    """Returns what roles allow together: a deny in any of them overrides every allow."""
    denied = {pair for role in roles for rule in role.rules for pair in rule.denied()}
    found: dict[tuple[Action, str | None], dict[str, dict[Conditions, set[str]]]] = {}
    for role in roles:
        for rule in role.rules:
            for pair in rule.allowed():
                if pair not in denied:
                    view = rule.view if pair[0] in VIEWED else ""
                    granting = found.setdefault(pair, {}).setdefault(view, {})
                    granting.setdefault(rule.conditions, set()).add(role.name)
    permissions = {pair: _frozen(views) for pair, views in found.items()}
    on_fields = any(name is not None for _, name in permissions)
    return Rights(MappingProxyType(permissions), on_fields)


def _frozen(views: Mapping[str, Mapping[Conditions, set[str]]]) -> Permission:
    return MappingProxyType(
        {
            view: MappingProxyType({asked: tuple(sorted(roles)) for asked, roles in each.items()})
            for view, each in views.items()
        }
    )
