"""Repeats a call that is safe to repeat while the server is unavailable or overloaded.

Every RPC of Tokenvault is safe to repeat: Tokenize keeps a value's token, the others
change nothing. A deadline that passed is not repeated: the time is the caller's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc

from vault.client.errors import call_error, requested_delay

__all__ = ["RetryPolicy", "with_retries"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to wait, in seconds.

    Attributes:
        attempts: calls altogether, the first included.
        first: longest wait before the second call; doubles from call to call.
        longest: longest wait at all.
    """

    attempts: int = 5
    first: float = 0.1
    longest: float = 5.0

    def wait(self, failures: int, asked: float, chance: float) -> float:
        """Returns the seconds to wait after ``failures`` failed calls.

        Full jitter, but never less than the server asked for, within ``longest``.
        """
        ceiling = min(self.longest, self.first * float(2 ** (failures - 1)))
        return min(self.longest, asked + ceiling * chance)


def with_retries(
    call: Callable[[float], T],
    policy: RetryPolicy,
    timeout: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Calls ``call`` with the seconds left, again where that is safe and may help.

    Raises:
        CallError: the last failure.
    """
    deadline = clock() + timeout
    failures = 0
    while True:
        try:
            return call(deadline - clock())
        except grpc.RpcError as error:
            failures += 1
            failure = call_error(error)
            # random: the jitter keeps no secret.
            asked = requested_delay(error)
            wait = policy.wait(failures, asked, random.random())  # noqa: S311
        # A server that asks for more patience than there is would refuse again.
        in_time = asked <= policy.longest and clock() + wait < deadline
        if not failure.retryable or failures >= policy.attempts or not in_time:
            raise failure
        sleep(wait)
