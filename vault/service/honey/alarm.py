"""Noticing touches of honey tokens, without the toucher noticing it.

In a field with honey tokens every call does the same, whatever it touches: it looks at a set, keeps
what it found for the thread that reports it up to a second later, and says it in its record, in as
many characters. A branch for touches alone would be 5 us, which shows in some 10,000 calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import NamedTuple
from uuid import UUID

from vault.model import Caller, FreezeTarget, TokenSpace
from vault.policy.freezes import FreezeRule
from vault.service.freezes.model import target_of
from vault.service.freezes.watch import FreezeWatch
from vault.service.honey.known import KnownHoney

__all__ = ["NOTHING_TOUCHED", "Touch", "TouchAlarm", "read_touched"]

_MAX_KEPT = 50_000
# As long as what one token of one set is written as.
_NOTHING = {str(UUID(int=0)): 0}


class Touch(NamedTuple):  # which is made in a fifth of a dataclass's time
    """What one call touched.

    Attributes:
        sets: how many honey tokens of which sets; mostly nothing.
        rule: when the policy freezes, or None for never.
    """

    caller: Caller
    rpc: str
    field: str
    sets: Mapping[str, int]
    rule: FreezeRule | None

    @property
    def target(self) -> FreezeTarget:
        """Whom to freeze for it."""
        return target_of(self.caller)

    @property
    def tokens(self) -> int:
        """How many tokens; one that is in two sets counts twice."""
        return sum(self.sets.values())


class TouchAlarm:
    """Takes note of touches; threads share it.

    Args:
        freezes: where who is to be frozen is refused at once; None where nobody is.
    """

    def __init__(self, honey: KnownHoney, freezes: FreezeWatch | None = None) -> None:
        self._honey = honey
        self._freezes = freezes
        self._lock = Lock()
        self._touches: dict[str, Touch] = {}

    def any_of(self, space: TokenSpace) -> bool:
        """Returns whether a field has honey tokens."""
        return self._honey.any_of(space)

    def note(
        self,
        caller: Caller,
        rpc: str,
        space: TokenSpace,
        tokens: Iterable[str],
        rule: FreezeRule | None,
    ) -> str:
        """Returns what a call's record says of its token cores, and keeps it in mind.

        Empty in a field without honey tokens. A call that is tried again is one.
        """
        if not self._honey.any_of(space):
            return ""
        sets = self._honey.found(space, tokens)
        touch = Touch(caller, rpc, space.field, sets, rule)
        with self._lock:
            self._touches[caller.request_id] = touch
            if len(self._touches) > _MAX_KEPT:  # nobody takes them: the database is away
                self._touches = _of_honey(self._touches)
        if rule is not None and self._freezes is not None and touch.tokens >= rule.touches:
            self._freezes.hold(touch.target)
        return _text(sets or _NOTHING)

    def take(self) -> Sequence[Touch]:
        """Returns the touches that were not taken yet."""
        with self._lock:
            touches, self._touches = self._touches, {}
        return list(_of_honey(touches).values())


def _of_honey(touches: Mapping[str, Touch]) -> dict[str, Touch]:
    return {name: touch for name, touch in touches.items() if touch.sets}


def _text(sets: Mapping[str, int]) -> str:
    return ", ".join([f"{each} {count}" for each, count in sets.items()])


NOTHING_TOUCHED = _text(_NOTHING)
"""What a record says of a call that touched none, in a field that has some."""


def read_touched(text: str) -> Mapping[str, int]:
    """Reads what a record says was touched. Raises ValueError."""
    pairs = (each.split(" ") for each in text.split(", "))
    return {each: int(count) for each, count in pairs if int(count)}
