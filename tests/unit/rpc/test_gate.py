from __future__ import annotations

import threading
import time

import pytest

from vault.errors import Reason, VaultError
from vault.rpc.admission import Gate, Overloaded


def soon() -> float:
    return time.monotonic() + 5


def test_one_too_many_is_refused_at_once() -> None:
    gate = Gate(workers=1, total=1)
    with gate.pass_through(soon()), pytest.raises(Overloaded) as caught, gate.pass_through(soon()):
        pytest.fail("the second call got through")
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.retryable


def test_a_waiting_call_gives_up_at_its_deadline() -> None:
    gate = Gate(workers=1, total=2)
    late = time.monotonic() + 0.01
    with gate.pass_through(soon()), pytest.raises(VaultError) as caught, gate.pass_through(late):
        pytest.fail("the second call got through")
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED


def test_places_and_slots_come_back_after_an_error() -> None:
    gate = Gate(workers=1, total=1)
    for _ in range(3):
        with pytest.raises(RuntimeError), gate.pass_through(soon()):
            raise RuntimeError
    with gate.pass_through(soon()):
        pass


def test_a_waiting_call_goes_on_when_a_slot_is_free() -> None:
    gate = Gate(workers=1, total=2)
    passed = threading.Event()

    def second() -> None:
        with gate.pass_through(soon()):
            passed.set()

    with gate.pass_through(soon()):
        thread = threading.Thread(target=second)
        thread.start()
        assert not passed.wait(0.02)
    thread.join()
    assert passed.is_set()
