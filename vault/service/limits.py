"""Charges a call's values to its caller's limits: all of them, or the call is refused.

In the transaction of the work, so that the count is exact over every server: calls of one
principal on one limited field follow each other, and a call that fails as a whole is not
charged, because it has answered nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from vault.errors import LimitExceeded
from vault.policy.limits import Quota, window_text
from vault.service.ports import LimitKey, LimitStore, WindowUse

__all__ = ["charge"]


def charge(store: LimitStore, key: LimitKey, quotas: Sequence[Quota], values: int) -> None:
    """Charges ``values`` to every quota; asks the store nothing where there is none.

    Every value of the batch counts, also one that will turn out not to be in the format:
    a refusal reveals something too.

    Raises:
        LimitExceeded: one of them has not enough left. The caller must end the
            transaction without a commit.
    """
    _refuse_hopeless(quotas, values)
    if not quotas:
        return
    uses = store.charge(key, [quota.seconds for quota in quotas], values)
    over = [
        (use, quota) for use, quota in zip(uses, quotas, strict=True) if use.used > quota.values
    ]
    if over:
        raise _exceeded(key, over)


def _refuse_hopeless(quotas: Sequence[Quota], values: int) -> None:
    for quota in quotas:
        if values > quota.values:
            raise LimitExceeded(
                f"the batch has more values than the whole limit of {_text(quota)}: split it"
            )


def _exceeded(key: LimitKey, over: Sequence[tuple[WindowUse, Quota]]) -> LimitExceeded:
    # The window that ends last decides when all of them have something left.
    use, quota = max(over, key=lambda each: each[0].left)
    return LimitExceeded(
        f"the limit of {_text(quota)} on {key.action} does not leave enough for this batch; "
        f"the next window begins in {use.left:,.0f} s",
        retry_after=use.left,
    )


def _text(quota: Quota) -> str:
    return f"{quota.values:,} values per {window_text(quota.seconds)}"
