"""The decision: may this principal do this, and with which view of the value?

No rule, no access; deny wins. A decision is a value, never an exception, so that no
caller can let a call through by forgetting to catch one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vault.errors import Reason
from vault.model import Action, OnDenied, Principal
from vault.policy.approvals import Approvals
from vault.policy.budgets import Allowance
from vault.policy.conditions import CallContext, Conditions, Unmet
from vault.policy.model import Policy
from vault.policy.roles import FIELDLESS, Permission, Rights, RolesByConditions
from vault.policy.views import FULL, TOKEN

__all__ = ["Allow", "Decision", "Deny", "decide"]


@dataclass(frozen=True, slots=True)
class Allow:
    """The call may go on.

    Attributes:
        roles: the caller's roles that allow it, and ask nothing more of the call, sorted.
        view: what to answer: ``full``, ``token``, a view of the field, or empty for an
            action that answers no value.
        allowance: the budgets of which one must have enough left, or None where nothing is
            counted.
        approvals: what the rules that allow it ask for, of which one suffices; empty where
            one asks for nothing. The call then needs a grant that has them.
        receipt: whether one of the rules that allow it says that a receipt is given.
        on_denied: what is answered for each token of a call that has no such grant.
    """

    roles: tuple[str, ...]
    view: str
    allowance: Allowance | None = None
    approvals: tuple[Approvals, ...] = ()
    receipt: bool = False
    on_denied: OnDenied = OnDenied.ERROR


@dataclass(frozen=True, slots=True)
class Deny:
    """The call is refused. The message reveals no more than the reason needs.

    Attributes:
        on_denied: what the rule that was not met answers for each token.
    """

    reason: Reason
    message: str
    on_denied: OnDenied = OnDenied.ERROR


Decision = Allow | Deny

# One text for every refusal: what exists but is not allowed must not show.
_DENIED = Deny(Reason.DENIED, "the policy does not allow this call")
_NO_FIELD = Deny(Reason.FIELD_NOT_FOUND, "the policy has no field of that name")
_NAME_FIELD = Deny(Reason.INVALID_REQUEST, "name a field")
_NAME_VIEW = Deny(Reason.INVALID_REQUEST, "your roles grant several views: name a view")
_NO_VIEW = Deny(Reason.INVALID_REQUEST, "the field has no view of that name")
_TAKES_NO_VIEW = Deny(Reason.INVALID_REQUEST, "this action takes no view")
_NO_PURPOSE = Deny(Reason.PURPOSE_NOT_ALLOWED, "the policy has no purpose of that name")
_ONLY_FULL = Deny(Reason.INVALID_REQUEST, "decrypt answers the view full only")
_NO_CONTEXT = CallContext()


def decide(
    policy: Policy,
    principal: Principal,
    action: Action,
    field: str | None,
    view: str = "",
    context: CallContext = _NO_CONTEXT,
) -> Decision:
    """Decides one call.

    Args:
        field: the field's name as the caller sent it, or None for an action without one.
        view: the view asked for, or empty for the one that the caller's roles grant.

    Returns:
        Allow, or Deny with DENIED, FIELD_NOT_FOUND (only to a caller who has a right on
        some field), INVALID_REQUEST, or the reason of a condition that is not met.
    """
    rights = policy.rights_of(principal)
    permission = rights.permission_for(action, field)
    if permission is None:
        return _refusal(policy, rights, action, field)
    granted = _granted(policy, action, permission, field, view)
    if isinstance(granted, Deny):
        return granted
    if context.purpose and context.purpose not in policy.purposes:
        return _NO_PURPOSE
    return _judged(*granted, context)


def _refusal(policy: Policy, rights: Rights, action: Action, field: str | None) -> Deny:
    if action in FIELDLESS or not rights.on_fields:
        return _DENIED
    if not field:
        return _NAME_FIELD
    return _DENIED if field in policy.fields else _NO_FIELD


_Granting = Sequence[tuple[str, RolesByConditions]]
"""Views that are granted, and by whom: the one that was asked for first."""


def _granted(
    policy: Policy, action: Action, permission: Permission, field: str | None, view: str
) -> tuple[str, _Granting] | Deny:
    """Returns the view to answer, and who grants it."""
    if action in (Action.DETOKENIZE, Action.REQUEST_REVEAL):
        return _granted_view(policy, permission, field, view)
    if action is Action.DECRYPT:
        return (FULL, [(FULL, permission[FULL])]) if view in ("", FULL) else _ONLY_FULL
    return ("", [("", permission[""])]) if view == "" else _TAKES_NO_VIEW


def _granted_view(
    policy: Policy, permission: Permission, field: str | None, view: str
) -> tuple[str, _Granting] | Deny:
    if view == "":
        if len(permission) > 1:
            return _NAME_VIEW
        ((view, granting),) = permission.items()
        return view, [(view, granting)]
    if view == TOKEN:
        # The token is what the caller sent: no view can be less.
        return TOKEN, sorted(permission.items(), key=lambda each: each[0])
    if FULL in permission and field is not None:
        if view != FULL and view not in policy.fields[field].views:
            return _NO_VIEW
        granting_views = dict.fromkeys((view, FULL))
        return view, [(name, permission[name]) for name in granting_views if name in permission]
    return (view, [(view, permission[view])]) if view in permission else _DENIED


def _judged(view: str, granting: _Granting, context: CallContext) -> Decision:
    met: list[tuple[str, Conditions, tuple[str, ...]]] = []
    refusals: list[tuple[Unmet, OnDenied]] = []
    for granted, by_conditions in granting:
        for conditions, names in by_conditions.items():
            unmet = conditions.unmet(context)
            if unmet is None:
                met.append((granted, conditions, names))
            else:
                refusals.append((unmet, conditions.on_denied))
    if met:
        return _allowed(view, met)
    furthest = max(unmet.progress for unmet, _ in refusals)
    nearest = [each for each in refusals if each[0].progress == furthest]
    unmet, _ = nearest[0]
    return Deny(unmet.reason, unmet.message, _strictest(kind for _, kind in nearest))


def _allowed(view: str, met: Sequence[tuple[str, Conditions, tuple[str, ...]]]) -> Allow:
    """Allows a call by the rules that ask for no approvals, else by those that do."""
    freely = [each for each in met if each[1].approvals is None]
    by_view: dict[str, list[Conditions]] = {}
    for granted, conditions, _ in freely or met:
        by_view.setdefault(granted, []).append(conditions)
    roles = {role for _, _, names in freely or met for role in names}
    receipt = any(conditions.receipt for _, conditions, _ in freely or met)
    allowed = Allow(tuple(sorted(roles)), view, _allowance(by_view), receipt=receipt)
    if freely:
        return allowed
    asked = (conditions.approvals for _, conditions, _ in met)
    approvals = tuple(dict.fromkeys(each for each in asked if each is not None))
    on_denied = _strictest(conditions.on_denied for _, conditions, _ in met)
    return replace(allowed, approvals=approvals, on_denied=on_denied)


def _allowance(met: Mapping[str, Sequence[Conditions]]) -> Allowance | None:
    """Returns what is charged: nothing where one rule has no budget, else the first view's."""
    if not all(each.budget for conditions in met.values() for each in conditions):
        return None
    view, own = next(iter(met.items()))
    return Allowance(
        view, tuple(each.budget for each in own), _strictest(each.on_denied for each in own)
    )


def _strictest(kinds: Iterable[OnDenied]) -> OnDenied:
    return min(kinds, key=tuple(OnDenied).index)
