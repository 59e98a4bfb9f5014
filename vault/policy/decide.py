"""The decision: may this principal do this, and with which view of the value?

No rule, no access; deny wins. A decision is a value, never an exception, so that no
caller can let a call through by forgetting to catch one.
"""

from __future__ import annotations

from dataclasses import dataclass

from vault.errors import Reason
from vault.model import Action, Principal
from vault.policy.model import Policy
from vault.policy.roles import FIELDLESS, Rights, RolesByView
from vault.policy.views import FULL, TOKEN

__all__ = ["Allow", "Decision", "Deny", "decide"]


@dataclass(frozen=True, slots=True)
class Allow:
    """The call may go on.

    Attributes:
        roles: the caller's roles that allow it, sorted.
        view: what to answer: ``full``, ``token``, a view of the field, or empty for an
            action that answers no value.
    """

    roles: tuple[str, ...]
    view: str


@dataclass(frozen=True, slots=True)
class Deny:
    """The call is refused. The message reveals no more than the reason needs."""

    reason: Reason
    message: str


Decision = Allow | Deny

# One text for every refusal: what exists but is not allowed must not show.
_DENIED = Deny(Reason.DENIED, "the policy does not allow this call")
_NO_FIELD = Deny(Reason.FIELD_NOT_FOUND, "the policy has no field of that name")
_NAME_FIELD = Deny(Reason.INVALID_REQUEST, "name a field")
_NAME_VIEW = Deny(Reason.INVALID_REQUEST, "your roles grant several views: name a view")
_NO_VIEW = Deny(Reason.INVALID_REQUEST, "the field has no view of that name")
_TAKES_NO_VIEW = Deny(Reason.INVALID_REQUEST, "this action takes no view")
_ONLY_FULL = Deny(Reason.INVALID_REQUEST, "decrypt answers the view full only")


def decide(
    policy: Policy, principal: Principal, action: Action, field: str | None, view: str = ""
) -> Decision:
    """Decides one call.

    Args:
        field: the field's name as the caller sent it, or None for an action without one.
        view: the view asked for, or empty for the one that the caller's roles grant.

    Returns:
        Allow, or Deny with DENIED, FIELD_NOT_FOUND (only to a caller who has a right on
        some field) or INVALID_REQUEST.
    """
    rights = policy.rights_of(principal)
    permission = rights.of(action, field)
    if permission is None:
        return _refusal(policy, rights, action, field)
    if action is Action.DETOKENIZE:
        return _detokenize(policy, permission, field, view)
    if action is Action.DECRYPT:
        return Allow(permission[FULL], FULL) if view in ("", FULL) else _ONLY_FULL
    return Allow(permission[""], "") if view == "" else _TAKES_NO_VIEW


def _refusal(policy: Policy, rights: Rights, action: Action, field: str | None) -> Deny:
    if action in FIELDLESS or not rights.on_fields:
        return _DENIED
    if not field:
        return _NAME_FIELD
    return _DENIED if field in policy.fields else _NO_FIELD


def _detokenize(policy: Policy, permission: RolesByView, field: str | None, view: str) -> Decision:
    if view == "":
        if len(permission) > 1:
            return _NAME_VIEW
        ((view, roles),) = permission.items()
        return Allow(roles, view)
    if view == TOKEN:
        # The token is what the caller sent: no view can be less.
        return Allow(_roles(*permission.values()), TOKEN)
    if FULL in permission and field is not None:
        if view != FULL and view not in policy.fields[field].views:
            return _NO_VIEW
        return Allow(_roles(permission[FULL], permission.get(view, ())), view)
    return Allow(permission[view], view) if view in permission else _DENIED


def _roles(*granting: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({role for roles in granting for role in roles}))
