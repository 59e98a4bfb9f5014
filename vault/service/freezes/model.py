"""What is known of a principal or person that is frozen, was, or touched honey tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime

from vault.model import Caller, FreezeTarget, Person

__all__ = ["Freeze", "person_of", "target_of", "targets_of"]


@dataclass(frozen=True, slots=True)
class Freeze:
    """One principal or person.

    Attributes:
        frozen: whether they are refused.
        changed: when that last changed, by the store's clock; None where it never did.
        by: the principal that changed it, or ``tokenvault:honey``.
        reason: why, in their words.
        touched: honey tokens touched, all calls together.
        recent: when the latest were touched, oldest first, as far as the policy still counts them.
    """

    tenant: str
    target: FreezeTarget
    frozen: bool = False
    changed: datetime | None = None
    by: str = ""
    reason: str = dataclass_field(default="", repr=False)
    touched: int = 0
    recent: tuple[datetime, ...] = ()


def targets_of(caller: Caller) -> Sequence[FreezeTarget]:
    """Returns by what a caller may be frozen."""
    principal = FreezeTarget.of_principal(str(caller.principal))
    return (principal,) if caller.person is None else (principal, target_of(caller))


def target_of(caller: Caller) -> FreezeTarget:
    """Returns whom to freeze for what a caller did: the person, if there is one behind it."""
    if caller.person is None:
        return FreezeTarget.of_principal(str(caller.principal))
    return FreezeTarget.of_person(caller.person)


def person_of(target: FreezeTarget) -> Person | None:
    """Returns the person that a target names, None where it is a principal.

    Or nobody: a row that is not ours may have anything for a name.
    """
    if target.kind != "person":
        return None
    try:
        issuer, claim, value = json.loads(target.name)
        "".join((issuer, claim, value)).encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return Person(issuer, claim, value)
