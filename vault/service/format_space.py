"""How many tokens are left of those that a field's values share.

Not counted, which would take longer the more there are, but tried: of tokens drawn as new
ones are drawn, the share that is taken is the chance that a new value meets a collision.
"""

from __future__ import annotations

from collections.abc import Mapping

from vault.crypto.randomness import random_text
from vault.formats import FiniteFormatSpace, RandomPlan
from vault.model import Generator, TokenSpace
from vault.policy.model import Policy
from vault.service.ports import TokenStore

__all__ = ["DRAWS", "format_space_left"]

DRAWS = 2_000
"""Tokens tried per field: right to within 2.3 points, 19 times in 20."""


def format_space_left(
    store: TokenStore, policy: Policy, tenant: str, draws: int = DRAWS
) -> Mapping[str, float]:
    """Returns by field the share of its tokens that is free, where it can run out.

    One statement a field. Raises StoreUnavailable.
    """
    left: dict[str, float] = {}
    for field in policy.fields.values():
        form: object = field.format
        if field.generator is Generator.RANDOM and isinstance(form, FiniteFormatSpace):
            _, plan = form.space()
            left[field.name] = _free(store, TokenSpace(tenant, field.name), plan, draws)
    return left


def _free(store: TokenStore, space: TokenSpace, plan: RandomPlan, draws: int) -> float:
    drawn = {plan.build(random_text(plan.alphabet, plan.length)) for _ in range(draws)}
    taken = store.rows_by_token(space, sorted(drawn))
    return 1 - len(taken) / len(drawn)
